"""A whole hybrid query in process: words, meaning, a segment's head and the ten best, beside two other stacks.

All stacks answer the same queries on one thread each, tokenisation included; in every round one stack after the other. Taking
turns query by query instead lets the naive stack's scans evict the others' memory, which costs ours most (docs/experiments.md).
Two catalogues: the bundle's bought products, where many items share a text, and as many items whose texts all differ (their id
is part of the text), so that the gain of scoring each text once can be told from the rest. There the index of the texts' vectors
answers, as in a bundle of so many texts. The peers index items, as an engineer would.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.record import ROOT, Bar
from recsys_core.metrics import top_rows
from recsys_core.retrieval import (
    INDEX_ABOVE,
    Grouping,
    LexicalIndex,
    Narrowing,
    Standing,
    TextIndex,
    best_items,
    build_lexical,
    clean_query,
    query_parts,
)
from recsys_core.serving import Bundle
from recsys_core.text_encoder import PACKAGED_MODEL, locate

PEERS = ROOT / "benchmarks/peers/.venv-search/bin/python"
QUERIES, WARM, ROUNDS, K = 400, 20, 5, 10


@dataclass(frozen=True)
class Catalogue:
    """Items to search: texts of items, and the vectors and the words of distinct texts; standing float32 [N].

    The index is that of a bundle with so many texts; None: every text is scored.
    """

    name: str
    texts: list[str]
    text_of_item: np.ndarray
    vectors: np.ndarray
    lexical: LexicalIndex
    standing: np.ndarray
    ties: np.ndarray
    index: TextIndex | None


class Peer:
    """Another stack in a process of its own, which times itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._read()

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(query) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@contextmanager
def peer(folder: Path, kind: str) -> Iterator[Peer]:
    """One of `peers/search_engines.py`."""
    process = subprocess.Popen([PEERS, ROOT / "benchmarks/peers/search_engines.py", folder, kind], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                                                                       "TOKENIZERS_PARALLELISM": "false"})
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.wait()


def bought(bundle: Bundle, segment: np.ndarray) -> tuple[Catalogue, Catalogue]:
    """The products somebody took, with their texts as they are, and with texts that all differ."""
    parts, rows = bundle.parts, np.flatnonzero(bundle.popularity > 0)
    every, standing = bundle.catalogue.items["text"].to_list(), (parts.search_popularity + segment)[rows]
    ties = parts.ties[rows]
    texts, text_of_item = np.unique(bundle.catalogue.text_of_item[rows], return_inverse=True)
    shared = Catalogue("texts as they are", [every[row] for row in rows], text_of_item.astype(np.int32),
                       np.ascontiguousarray(bundle.catalogue.vectors[texts]),
                       build_lexical(bundle.catalogue.items[rows], text_of_item.astype(np.int32)), standing, ties, None)
    own = [f"{every[row]} {bundle.catalogue.item_ids[row]}" for row in rows.tolist()]
    noise = np.random.default_rng(0).normal(scale=0.01, size=(len(rows), bundle.catalogue.vectors.shape[1]))
    vectors = (bundle.catalogue.item_vectors[rows] + noise).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = TextIndex.build(vectors) if len(vectors) > INDEX_ABOVE else None
    places = np.arange(len(rows), dtype=np.int32)
    apart = bundle.catalogue.items[rows].with_columns(title=pl.col("title") + " " + pl.col("item_id"))
    return shared, Catalogue("every text its own", own, places, vectors, build_lexical(apart, places), standing, ties, index)


def segment_head(bundle: Bundle) -> np.ndarray:
    """float32 [N]: the offsets of the first promoted segment's first member; zeros where none is promoted."""
    for name in sorted(bundle.parts.families):
        _, logits = bundle.parts.member(name, bundle.parts.router.members[name][0])
        return sum(logits.values(), np.zeros(len(bundle.catalogue), np.float32))
    return np.zeros(len(bundle.catalogue), np.float32)


def queries(bundle: Bundle, count: int) -> list[str]:
    """Two to four words of bought products' texts, in the order they stand there."""
    rng, found = np.random.default_rng(1), []
    share = bundle.popularity.astype(np.float64)
    every = bundle.catalogue.items["text"].to_list()
    for row in rng.choice(len(share), count, p=share / share.sum()).tolist():
        words = every[row].split()
        kept = np.sort(rng.choice(len(words), min(len(words), int(rng.integers(2, 5))), replace=False))
        found.append(" ".join(words[at] for at in kept))
    return found


def ours(bundle: Bundle, catalogue: Catalogue, asked: list[str], index: TextIndex | None) -> list[dict[str, Any]]:
    """Milliseconds and the rows of the ten best, query by query; without an index every text is scored."""
    encoder, config = bundle.parts.encoder, bundle.parts.search
    documents = catalogue.lexical.documents
    items_of = Grouping(documents.of_item, len(documents.texts))
    standing = Standing.of(catalogue.standing, items_of)
    narrowing, answers = index and Narrowing(index, standing.documents, K), []
    for query in asked:
        start = time.perf_counter()
        found = query_parts(clean_query(query), catalogue.vectors, encoder, catalogue.lexical, config, narrowing)
        rows, _ = best_items(found.scores, found.documents, standing, items_of, K, catalogue.ties)
        answers.append({"ms": 1000 * (time.perf_counter() - start), "rows": rows.tolist()})
    return answers


def exact(bundle: Bundle, catalogue: Catalogue, asked: list[str]) -> list[list[int]]:
    """The ten best of all items, each of them scored."""
    found = []
    for query in asked:
        said = query_parts(clean_query(query), catalogue.vectors, bundle.parts.encoder, catalogue.lexical, bundle.parts.search)
        found.append(top_rows(said.scores[catalogue.lexical.documents.of_item] + catalogue.standing, K, catalogue.ties).tolist())
    return found


def read(bundle: Bundle, asked: list[str]) -> tuple[list[float], list[list[float]]]:
    """The student's milliseconds and its vectors, query by query."""
    times, vectors = [], []
    for query in asked:
        start = time.perf_counter()
        vectors.append(bundle.parts.encoder.encode([query])[0].tolist())
        times.append(1000 * (time.perf_counter() - start))
    return times, vectors


def compare(bundle: Bundle, catalogue: Catalogue, asked: list[str]) -> list[list[dict[str, Any]]]:
    """Every stack's milliseconds per query, round by round; in a round each is asked all queries in a row."""
    best, rounds = exact(bundle, catalogue, asked), []
    with tempfile.TemporaryDirectory() as work, ExitStack() as running:
        np.savez(f"{work}/arrays.npz", vectors=catalogue.vectors[catalogue.text_of_item], standing=catalogue.standing)
        Path(work, "catalogue.json").write_text(json.dumps({"texts": catalogue.texts, "model": locate(PACKAGED_MODEL)[0]}))
        peers = {name: running.enter_context(peer(Path(work), name)) for name in ("engines", "naive")}
        for _ in range(ROUNDS):
            answers = {"ours": ours(bundle, catalogue, asked, catalogue.index)}
            if catalogue.index is not None:
                answers["ours, every text"] = ours(bundle, catalogue, asked, None)
            student, vectors = read(bundle, asked)
            for name, stack in peers.items():
                answers[name] = [stack.ask({"text": query, "vector": vector})
                                 for query, vector in zip(asked, vectors, strict=True)]
            for one, more in zip(answers["engines"], student, strict=True):
                one["ms"] += more
            rows = {name: _row([one["ms"] for one in found], [one["rows"] for one in found], best)
                    for name, found in answers.items()}
            rows["student"] = _row(student)
            rounds.append([{"catalogue": catalogue.name, "items": len(catalogue.texts), "texts": len(catalogue.vectors),
                            "stack": name, **row} for name, row in rows.items()])
    return rounds


def _row(times: list[float], found: list[list[int]] | None = None, best: list[list[int]] | None = None) -> dict[str, Any]:
    agreed = [len({*one} & {*rows}) / K for one, rows in zip(best or [], found or [], strict=True)]
    return {"p50_ms": float(np.median(times[WARM:])), "p99_ms": float(np.quantile(times[WARM:], 0.99)),
            "qps": 1000 / float(np.mean(times[WARM:])), "of_our_exact_ten": float(np.mean(agreed)) if agreed else None}


def medians(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row per stack."""
    return [{**row, **{name: float(np.median([one[at][name] for one in rounds])) for name in ("p50_ms", "p99_ms", "qps")}}
            for at, row in enumerate(rounds[0])]


def whole(bundle: Bundle, asked: list[str]) -> dict[str, Any]:
    """`Bundle.search` itself, over the whole catalogue: reading arguments, filters, reasons and explanations included."""
    name = next(iter(sorted(bundle.parts.families)), None)
    route = bundle.segments[name] if name else {"by": None}
    table, column = (route["by"] or "context.").split(".", 1)
    context = {column: bundle.parts.router.members[name][0]} if name and route["by"] and table == "context" else None
    times = []
    for query in asked:
        start = time.perf_counter()
        bundle.search(query, k=K, segment=name, context=context)
        times.append(1000 * (time.perf_counter() - start))
    return {"items": len(bundle.catalogue), "p50_ms": float(np.median(times[WARM:])),
            "p99_ms": float(np.quantile(times[WARM:], 0.99)), "segment": name}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    bundle = Bundle.load(folder)
    shared, own = bought(bundle, segment_head(bundle))
    asked = queries(bundle, QUERIES + WARM)
    rounds, others = compare(bundle, shared, asked), compare(bundle, own, asked)
    rows = [*medians(rounds), *medians(others)]
    recall = min(row["of_our_exact_ten"] for row in rows if row["stack"] == "ours")
    ratios = {name: sorted(by["ours"] / by[name] for one in rounds for by in [{row["stack"]: row["qps"] for row in one}])
              for name in ("naive", "engines")}
    spread = sorted(row["p99_ms"] for one in rounds for row in one if row["stack"] == "ours")
    api = [whole(bundle, asked) for _ in range(ROUNDS)]
    note = f"{len(shared.texts):,} bought products, {len(shared.vectors):,} texts, {QUERIES} queries, {ROUNDS} rounds"
    naive, engines, middle = ratios["naive"], ratios["engines"], ROUNDS // 2
    bars = [Bar("hybrid.qps_over_naive", naive[middle], ">=", 20, naive[0], naive[-1], ROUNDS, note),
            Bar("hybrid.qps_over_engines", engines[middle], ">=", 1.5, engines[0], engines[-1], ROUNDS,
                f"tantivy and hnswlib, the same student; {note}"),
            Bar("hybrid.p99_ms", spread[middle], "<=", 2, spread[0], spread[-1], ROUNDS, note),
            Bar("hybrid.recall@10_of_exact", recall, ">=", 0.99, n=QUERIES, note="beside scoring every item; the lower of both "
                f"catalogues: {len(own.vectors):,} different texts ask the index, {len(shared.vectors):,} are all scored")]
    return bars, {"Hybrid query": rows, "Bundle.search": api}
