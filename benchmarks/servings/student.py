"""The student beside its teacher: how fast it reads queries, how much of the teacher's search it keeps, how large it is.

ESCI's catalogue is distilled on generated queries alone; its judged queries only measure. Segments are the promoted ones
of the chain's bundle and the top categories of its shop: queries newly drawn from their items, ranked by meaning and,
where search adds them, the segment's logits.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.record import ROOT, Bar
from recsys_core.cleaning import clean_items
from recsys_core.distillation import StudentConfig, build_student, make_queries
from recsys_core.metrics import paired_bootstrap, ranking_metrics
from recsys_core.schema import CATEGORY_SEPARATOR, RAW_ITEMS
from recsys_core.serving import Bundle, understand
from recsys_core.student import ONNX, STATIC, OnnxEncoder, StaticEncoder
from recsys_core.text_encoder import (
    PACKAGED_MODEL,
    EncoderConfig,
    TextEncoder,
    TextEncoderArtefact,
    VectorCache,
    cached_encode,
    load_encoder,
    locate,
)

PLACE = ROOT / "var" / "bench" / "serving" / "student"
PEER = ROOT / "benchmarks" / "peers" / ".venv-search" / "bin" / "python"
K, ROUNDS, BATCH, RACED = 10, 5, 32, 1_000
SEGMENT_QUERIES, SEGMENT_TEXTS = 200, 20  # drawn per segment; texts that a top category needs to count as one


@dataclass(frozen=True)
class Judged:
    """ESCI: a catalogue, and queries that people judged.

    Args:
        texts: the distinct item texts. text_of_item: int64 [N]. gains: query → (item rows, gains of 1, .1, .01 or 0).
    """

    items: pl.DataFrame
    texts: list[str]
    text_of_item: np.ndarray
    gains: dict[str, tuple[np.ndarray, np.ndarray]]


def read_esci() -> Judged:
    """The catalogue as a shop's would be cleaned, and its judgments."""
    folder = Path(os.environ.get("RECSYS_DATA", ROOT.parent / "shared" / "data")) / "esci"
    raw = pl.read_parquet(folder / "items.parquet")
    paths = [CATEGORY_SEPARATOR.join(ast.literal_eval(value)) or None if value else None for value in raw["category"]]
    raw = raw.with_columns(pl.Series("category", paths, pl.String), pl.col("price").cast(pl.Float64, strict=False))
    items = clean_items(raw.select(*RAW_ITEMS))
    texts = items["text"].unique().sort().to_list()
    row_of, item_row = {text: row for row, text in enumerate(texts)}, {item: row for row, item in enumerate(items["item_id"])}
    gains = {}
    for (query,), rows in pl.read_parquet(folder / "judgments.parquet").group_by("query", maintain_order=True):
        known = rows.filter(pl.col("item_id").is_in(list(item_row)))
        gains[str(query)] = (np.array([item_row[item] for item in known["item_id"]]), known["gain"].to_numpy() / 100)
    return Judged(items, texts, np.array([row_of[text] for text in items["text"]]), gains)


def graded_ndcg(scores: np.ndarray, rows: np.ndarray, gains: np.ndarray) -> float:
    """NDCG@10 with graded gains of one query's scores float32 [N]; items that tie share the discounts of their places.

    >>> graded_ndcg(np.array([.9, .5, .5], np.float32), np.array([0, 1]), np.array([1, .1])) > .9
    True
    """
    discounts = np.r_[1 / np.log2(np.arange(K) + 2), np.zeros(len(scores))]
    total = 0.0
    for row, gain in zip(rows, gains, strict=True):
        above, level = int((scores > scores[row]).sum()), int((scores == scores[row]).sum())
        total += gain * float(discounts[above:above + level].mean())
    best = float((np.sort(gains)[::-1][:K] * discounts[:min(K, len(gains))]).sum())
    return total / best if best > 0 else 0.0


def keep_esci(folder: Path) -> dict[str, Any]:
    """Distil ESCI's catalogue and rank it for the judged queries by teacher and students."""
    judged, teacher = read_esci(), load_encoder(EncoderConfig())
    cache, started = VectorCache(folder / "vectors"), time.perf_counter()
    about = build_student(folder / "esci", teacher, judged.items, [], StudentConfig(), 0, cache)
    seconds = time.perf_counter() - started
    documents, queries = cached_encode(teacher, judged.texts, cache), list(judged.gains)
    place = folder / "esci" / "student"
    ways: dict[str, Callable[[list[str]], np.ndarray]] = {
        "teacher": teacher.encode, "static student": StaticEncoder.load(place / STATIC).encode,
        "transformer student, int8": OnnxEncoder.load(place / ONNX).encode}
    found = {name: [graded_ndcg((documents @ vector)[judged.text_of_item], *judged.gains[query])
                    for query, vector in zip(queries, encode(queries), strict=True)] for name, encode in ways.items()}
    return {"ndcg": found, "about": about, "seconds": seconds}


def race(folder: Path) -> dict[str, Any]:
    """Seconds to read distinct queries, tokenisation included: teacher and students in turn, one thread each.

    The static student is opened anew for every timing: it remembers the tokens of words that it has read.
    """
    judged, place = read_esci(), folder / "esci" / "student"
    made = make_queries(judged.items, judged.texts, [], RACED, np.random.default_rng(2)).texts
    queries = list(dict.fromkeys([*judged.gains, *made]))[:RACED]
    (folder / "queries.json").write_text(json.dumps(queries))
    int8 = OnnxEncoder.load(place / ONNX)
    peer = subprocess.Popen([PEER, ROOT / "benchmarks" / "peers" / "encode_queries.py", locate(PACKAGED_MODEL)[0],
                             folder / "queries.json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdin is not None and peer.stdout is not None
    peer.stdout.readline()
    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for size in (1, BATCH):
            peer.stdin.write(f"{size}\n")
            peer.stdin.flush()
            rounds.setdefault(f"teacher {size}", []).append(json.loads(peer.stdout.readline()))
            for name, encoder in (("static", StaticEncoder.load(place / STATIC)), ("int8", int8)):
                start = time.perf_counter()
                for first in range(0, len(queries), size):
                    encoder.encode(queries[first:first + size])
                rounds.setdefault(f"{name} {size}", []).append(time.perf_counter() - start)
    peer.stdin.close()
    peer.wait()
    return {"texts": len(queries), "seconds": rounds}


def keep_segments(folder: Path) -> list[dict[str, Any]]:
    """NDCG@10 of a query's own items by student and teacher in every segment, over the bundle's whole catalogue."""
    bundle, teacher = Bundle.load(folder), TextEncoderArtefact(folder.parent / "text_encoder").load()
    items, rng = bundle.catalogue.items, np.random.default_rng(1)
    levels = items["category"].fill_null("").str.split(CATEGORY_SEPARATOR).list.first()
    members = {f"category {name}": (None, (levels == name).to_numpy()) for name in sorted(set(levels) - {""})}
    for name, route in bundle.segments.items():
        if route["decision"] == "promoted" and route["by"] is None:
            allowed = understand(bundle.parts, None, segment=name).allowed
            members[f"segment {name}"] = (name, np.ones(len(items), bool) if allowed is None else allowed)
    rows = [_keep_segment(bundle, teacher, label, segment, inside, rng) for label, (segment, inside) in members.items()
            if items.filter(inside)["text"].n_unique() >= SEGMENT_TEXTS]
    return sorted(rows, key=lambda row: row["kept"])


def _keep_segment(bundle: Bundle, teacher: TextEncoder, label: str, segment: str | None, inside: np.ndarray,
                  rng: np.random.Generator) -> dict[str, Any]:
    own = bundle.catalogue.items.filter(inside)
    texts = own["text"].unique().sort().to_list()
    queries = make_queries(own, texts, [], SEGMENT_QUERIES, rng)
    total = understand(bundle.parts, None, segment=segment).offsets.total
    logits = np.zeros(len(bundle.catalogue), np.float32) if total is None else total
    ways = {"teacher": teacher.encode(queries.texts), "student": bundle.parts.encoder.encode(queries.texts)}
    every, weight = bundle.catalogue.items["text"].to_numpy(), np.float32(bundle.parts.search.text)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for row, document in enumerate(queries.document):
        targets = np.flatnonzero((every == texts[document]) & inside)
        for name, vectors in ways.items():
            scores = weight * (bundle.catalogue.vectors @ vectors[row])[bundle.catalogue.text_of_item] + logits
            found[name].append(float(ranking_metrics(scores[None], np.array([0, len(targets)]), targets, K)["ndcg@10"][0]))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return {"segment": label, "queries": len(queries.texts), **{f"{name} NDCG@10": value for name, value in means.items()},
            "kept": means["student"] / means["teacher"]}


def measure(bundle: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables.

    Args:
        bundle: of a finished chain, whose text_encoder/ lies beside it.
    """
    esci, raced, segments = keep_esci(PLACE), race(PLACE), keep_segments(bundle)
    means = {name: float(np.mean(values)) for name, values in esci["ndcg"].items()}
    times = {name: float(np.median(values)) for name, values in raced["seconds"].items()}
    bars = []
    for tier, name, sizes, speed, kept in (("student", "static student", (1, BATCH), 100, 0.95),
                                           ("int8", "transformer student, int8", (1,), 3, 0.995)):
        key = "static" if tier == "student" else "int8"
        ratio = {size: times[f"teacher {size}"] / times[f"{key} {size}"] for size in sizes}
        slowest = min(sizes, key=lambda size: ratio[size])
        each = np.array(raced["seconds"][f"teacher {slowest}"]) / np.array(raced["seconds"][f"{key} {slowest}"])
        how = "one text per call" if slowest == 1 else f"{slowest} texts per call"
        bars.append(Bar(f"{tier}.texts_per_s_over_teacher", ratio[slowest], ">=", speed, float(each.min()), float(each.max()),
                        ROUNDS, f"{how} on both sides, one thread, tokenisation included; least and most of the rounds"))
        gap = paired_bootstrap(np.array(esci["ndcg"][name]) - np.array(esci["ndcg"]["teacher"]),
                               np.arange(len(esci["ndcg"][name])), np.random.default_rng(0))
        bars.append(Bar(f"{tier}.ndcg_kept_esci", means[name] / means["teacher"], ">=", kept, 1 + gap.low / means["teacher"],
                        1 + gap.high / means["teacher"], len(esci["ndcg"][name]), "NDCG@10 over the whole catalogue"))
    bars.append(Bar("student.size_mb", esci["about"]["megabytes"][STATIC], "<=", 10, note="table and tokenizer"))
    worst = segments[0]
    bars.append(Bar("student.worst_segment_ndcg_kept", worst["kept"], ">=", 0.9, n=worst["queries"], note=worst["segment"]))
    tables = {
        "Students on ESCI's judged queries": [{"encoder": name, "NDCG@10": value} for name, value in means.items()],
        "Students on held-out generated queries": [{"encoder": name, **one} for name, one in esci["about"]["comparison"].items()],
        "Reading queries": [{"encoder": name.split()[0], "texts per call": int(name.split()[1]),
                             "microseconds per text": 1e6 * value / raced["texts"]} for name, value in times.items()],
        "Segments by what the student keeps": segments,
        "Distilling ESCI's catalogue": [{"texts": len(read_esci().texts), "seconds": esci["seconds"]}]}
    return bars, tables
