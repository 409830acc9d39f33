"""The student as an artefact: a static table that serves, a transformer beside it, and how both compare with the teacher."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.artefacts import staged_folder, write_json
from recsys_core.distillation.agreement import Probe
from recsys_core.distillation.export import export_onnx, export_static
from recsys_core.distillation.queries import Queries, make_queries
from recsys_core.distillation.static import StaticConfig, StaticStudent, distil_static, learn_without_teacher
from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.serving import STUDENT
from recsys_core.student import ONNX, STATIC, STUDENT_FLOAT, STUDENT_FORMAT, STUDENT_SETTINGS, OnnxEncoder, StaticEncoder
from recsys_core.text_encoder import TextEncoder, VectorCache, cached_encode

log = logging.getLogger(__name__)

FEWEST_DOCUMENTS = 16  # with fewer none are held out: the students are then measured on queries they learned from
ASKED = "asked.json"
ASKED_TEXTS, ASKED_LENGTH = 6, 100  # held-out queries; characters of each at most


class StudentConfig(BaseModel, frozen=True, extra="forbid"):
    """What the students learn from and which one serves; the defaults take under a minute on two cores."""

    queries_per_text: float = Field(3.0, gt=0, description="queries made per distinct item text")
    max_queries: int = Field(20_000, ge=1, description="queries made at most; the teacher reads each")
    held_out: float = Field(0.1, ge=0, lt=1, description="share of the item texts whose queries only measure")
    max_probes: int = Field(500, ge=1, description="held-out queries measured on, at most")
    least_kept: float = Field(0.9, ge=0, le=1, description="the static student serves where it keeps this share of the "
                                                           "teacher's NDCG@10 on held-out queries and the network is not light, "
                                                           "else the network itself")
    static: StaticConfig = StaticConfig()


def build_student(folder: Path, teacher: TextEncoder, items: pl.DataFrame, logged: Sequence[str], config: StudentConfig,
                  seed: int, cache: VectorCache) -> dict[str, Any]:
    """Distil the teacher on the shop's own texts; write `student/` (as bundles hold it), `curves.json`, `asked.json`.

    The last holds held-out queries with the vectors before int8: what was exported must agree with them.

    Args:
        folder: of the artefact.
        teacher: the encoder whose space the students live in; it is not changed.
        items: `schema.CLEAN_ITEMS`.
        logged: queries that shoppers sent, repeated as often as they did.
        config: what to learn from and how.
        seed: of the queries, what is held out, and the batches.
        cache: where the teacher's vectors may already be.

    Returns:
        the content of student/student.json: which tier serves, what was learnt from, the comparison.
    """
    rng = np.random.default_rng(seed)
    texts = items["text"].unique().sort().to_list()
    documents = cached_encode(teacher, texts, cache)
    count = min(config.max_queries, int(np.ceil(config.queries_per_text * len(texts))))
    queries = make_queries(items, texts, logged, count, rng)
    targets = cached_encode(teacher, queries.texts, cache)
    learnt, probed = _hold_out(queries, len(texts), config, rng)
    probe = Probe(queries.rows(probed), targets[probed], documents)
    phrases = items["category"].drop_nulls().unique().sort().str.split(CATEGORY_SEPARATOR).explode().drop_nulls().to_list()
    known = [*texts, *phrases]
    static = distil_static(teacher, queries.rows(learnt), targets[learnt], known, config.static, rng, cache)
    alone = learn_without_teacher(static, queries.rows(learnt), documents, config.static, rng)
    with staged_folder(Path(folder) / STUDENT) as staging:
        export_static(static, teacher.fingerprint, staging / STATIC)
        export_onnx(teacher, staging / ONNX)
        ways = {"teacher": targets[probed], "static student": StaticEncoder.load(staging / STATIC).encode(probe.queries.texts),
                "the same without a teacher": alone.encode(probe.queries.texts),
                "transformer student, int8": OnnxEncoder.load(staging / ONNX).encode(probe.queries.texts),
                "transformer student, float32": OnnxEncoder.load(
                    staging / ONNX, model=STUDENT_FLOAT).encode(probe.queries.texts)}
        comparison = {name: probe.measure(vectors) for name, vectors in ways.items()}
        # A table knows the tokens of the shop's own texts best, and a light network is asked about other languages, too.
        serves = STATIC if comparison["static student"]["kept"] >= config.least_kept and not teacher.light else ONNX
        about = {
            "format": STUDENT_FORMAT, "serves": serves, "teacher": teacher.fingerprint, "comparison": comparison,
            "queries": {"generated": queries.generated, "logged": len(queries.texts) - queries.generated,
                        "measured_on": len(probed), "held_out": len(learnt) < len(queries.texts)},
            "megabytes": {tier: _megabytes(staging / tier) for tier in (STATIC, ONNX)}}
        write_json(staging / STUDENT_SETTINGS, about)
    write_json(Path(folder) / ASKED, _asked(probe.queries.texts, static if serves == STATIC else teacher))
    write_json(Path(folder) / "curves.json", {"student": static.curves, "without a teacher": alone.curves})
    log.info("student: %s serves; %s", serves, comparison)
    return about


def _asked(texts: list[str], encoder: StaticStudent | TextEncoder) -> dict[str, list[float]]:
    """A few short queries, as a search reads them, with their vectors."""
    short = [text for text in texts if len(text) <= ASKED_LENGTH][:ASKED_TEXTS]
    read = [" ".join(unicodedata.normalize("NFKC", text).split()) for text in short]
    return dict(zip(read, encoder.encode(read).tolist(), strict=True))


def _hold_out(queries: Queries, documents: int, config: StudentConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to measure on; no document has queries on both sides."""
    everything = np.arange(len(queries.texts))
    if documents < FEWEST_DOCUMENTS or not config.held_out:
        return everything, everything[:config.max_probes]
    chosen = np.zeros(documents, bool)
    chosen[rng.choice(documents, max(1, int(config.held_out * documents)), replace=False)] = True
    held = (queries.document >= 0) & chosen[queries.document]
    if not held.any() or held.all():
        return everything, everything[:config.max_probes]
    return np.flatnonzero(~held), rng.permutation(np.flatnonzero(held))[:config.max_probes]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
