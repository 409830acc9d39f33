"""The student as an artefact: distilled from the text encoder, exported to int8 ONNX."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl

from recsys_core.artefacts import write_json
from recsys_core.distillation.export import export_onnx
from recsys_core.distillation.student import StudentConfig, distil_student
from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.text_encoder import TextEncoder, VectorCache

ASKED = "asked.json"
ASKED_TEXTS, ASKED_LENGTH = 3, 100  # of each kind of held-out text; in characters


def build_student(folder: Path, teacher: TextEncoder, items: pl.DataFrame, config: StudentConfig, seed: int,
                  cache: VectorCache) -> dict:
    """Distil the teacher on the shop's own texts and write `onnx/`, `curves.json` and `asked.json`.

    The last holds held-out texts with the trained student's own vectors: what was exported must agree with them.

    Returns:
        the content of student.json: files, fingerprints, agreement with the teacher.
    """
    phrases = items["category"].drop_nulls().unique().str.split(CATEGORY_SEPARATOR).explode().unique()
    texts = [*items["text"].unique().sort().to_list(), *phrases.drop_nulls().sort().to_list()]
    student = distil_student(teacher, texts, config, seed, cache)
    about = export_onnx(student, folder / "onnx")
    write_json(folder / "curves.json", student.curves)
    short = [[text for text in probe.texts if len(text) <= ASKED_LENGTH] for probe in student.probes.values()]
    texts = [text for few in short for text in few[:ASKED_TEXTS]]
    texts = [" ".join(unicodedata.normalize("NFKC", text).split()) for text in texts]  # as a search reads them
    write_json(folder / ASKED, dict(zip(texts, student.encoder.encode(texts).tolist(), strict=True)))
    return about
