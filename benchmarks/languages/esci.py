"""Search on ESCI's judged queries, beside BM25 at its best and the frozen encoder: mistyped, adapted, nonsense; its speed.

The whole catalogue is ranked. The student is distilled on queries made of the catalogue, and the default's weights are learned
from such queries: the judgments only measure. Where judgments are learned from, the queries measured on are others.
"""

from __future__ import annotations

import ast
import json
import os
import string
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.record import ROOT, Bar
from benchmarks.servings import hybrid
from benchmarks.servings.student import graded_ndcg
from recsys_core.cleaning import clean_items
from recsys_core.deployment import LearnedSearch, learn_search, learn_weights
from recsys_core.distillation import StudentConfig, build_student
from recsys_core.interactions import Catalogue
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.retrieval import (
    UNLIKE,
    LexicalIndex,
    SearchConfig,
    Searched,
    build_lexical,
    clean_query,
    make_lists,
    query_parts,
)
from recsys_core.schema import CATEGORY_SEPARATOR, JUDGMENTS
from recsys_core.serving import STUDENT, Bundle
from recsys_core.student import ONNX, OnnxEncoder, load_student
from recsys_core.text_encoder import EncoderConfig, VectorCache, cached_encode, load_encoder

PLACE = ROOT / "var" / "bench" / "language" / "esci"
PEER = ROOT / "benchmarks" / "peers" / ".venv-search" / "bin" / "python"
TEXT_COLUMNS = ("title", "brand", "category", "description", "bullet_points", "color")
EDITED, DRAWS, FOLDS, PAIRS = 5, 10, 5, (16, 64, 256)
NONSENSE, SPEED_QUERIES, ROUNDS = 200, 420, 5
Gains = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class World:
    """ESCI as a shop, and what searches it.

    Args:
        gains: query → (item rows, gains of 1, .1, .01 or 0).
        zero_shot: float32 [Q, N], cosine of the frozen encoder.
    """

    catalogue: Catalogue
    gains: dict[str, Gains]
    lexical: LexicalIndex
    encoder: Any
    learned: LearnedSearch
    zero_shot: np.ndarray

    @property
    def queries(self) -> list[str]:
        return list(self.gains)

    def scores(self, query: str, config: SearchConfig | None = None) -> np.ndarray:
        """float32 [N], of the search as it is served, without a shopper and without popularity, which ESCI lacks."""
        found = query_parts(clean_query(query), self.catalogue.vectors, self.encoder, self.lexical, config or self.learned.config)
        return found.scores[self.lexical.documents.of_item]

    def flagged(self, query: str) -> bool:
        """Whether the answer says that nothing is like the query."""
        note = query_parts(clean_query(query), self.catalogue.vectors, self.encoder, self.lexical, self.learned.config).note
        return (note or "").startswith(UNLIKE)


def read_esci() -> tuple[pl.DataFrame, dict[str, Gains]]:
    """The catalogue as a shop's would be cleaned, every column kept, and its judgments."""
    folder = Path(os.environ.get("RECSYS_DATA", ROOT.parent / "shared" / "data")) / "esci"
    raw = pl.read_parquet(folder / "items.parquet")
    paths = [CATEGORY_SEPARATOR.join(ast.literal_eval(value)) or None if value else None for value in raw["category"]]
    items = clean_items(raw.with_columns(pl.Series("category", paths, pl.String), pl.col("price").cast(pl.Float64, strict=False)))
    row_of, gains = {item: row for row, item in enumerate(items["item_id"])}, {}
    for (query,), rows in pl.read_parquet(folder / "judgments.parquet").group_by("query", maintain_order=True):
        known = rows.filter(pl.col("item_id").is_in(list(row_of)))
        gains[str(query)] = (np.array([row_of[item] for item in known["item_id"]]), known["gain"].to_numpy() / 100)
    return items, gains


@cache
def world() -> World:
    """Distil, index and learn, as the chain does for a shop without queries."""
    items, gains = read_esci()
    teacher, cached = load_encoder(EncoderConfig()), VectorCache(PLACE / "vectors")
    texts = items["text"].unique().sort().to_list()
    row_of = {text: row for row, text in enumerate(texts)}
    text_of_item = np.array([row_of[text] for text in items["text"]], np.int32)
    catalogue = Catalogue(items, text_of_item, cached_encode(teacher, texts, cached))
    build_student(PLACE / "student", teacher, items, [], StudentConfig(), 0, cached)
    encoder, lexical = load_student(PLACE / "student" / STUDENT), build_lexical(items, catalogue.text_of_item)
    nobody, reader = pl.DataFrame(schema=JUDGMENTS), OnnxEncoder.load(PLACE / "student" / STUDENT / ONNX)
    learned = learn_search(catalogue, np.zeros(len(catalogue), np.float32), encoder, reader, lexical, nobody, nobody, {})
    zero_shot = (teacher.encode(list(gains)) @ catalogue.vectors.T)[:, catalogue.text_of_item]
    return World(catalogue, gains, lexical, encoder, learned, zero_shot)


def ndcg(scores: Sequence[np.ndarray], gains: Sequence[Gains]) -> np.ndarray:
    """float64 [Q]: NDCG@10 over the whole catalogue."""
    return np.array([graded_ndcg(one, *graded) for one, graded in zip(scores, gains, strict=True)])


def recall(scores: Sequence[np.ndarray], gains: Sequence[Gains], k: int = 50) -> float:
    """Share of each query's exact answers among its best k, averaged over queries that have one."""
    found = []
    for one, (rows, graded) in zip(scores, gains, strict=True):
        best = np.argsort(-one, kind="stable")[:k]
        if (graded == 1).any():
            found.append(float(np.isin(rows[graded == 1], best).mean()))
    return float(np.mean(found))


def best_bm25(here: World) -> tuple[np.ndarray, dict[str, Any]]:
    """bm25s over all text columns, float32 [Q, N], under the settings best on these very queries, and the settings."""
    texts = [" ".join(value for value in row if value) for row in here.catalogue.items.select(TEXT_COLUMNS).iter_rows()]
    with tempfile.TemporaryDirectory() as work:
        Path(work, "asked.json").write_text(json.dumps({"texts": texts, "queries": here.queries}), "utf-8")
        subprocess.run([PEER, ROOT / "benchmarks" / "peers" / "best_bm25.py", work], check=True)
        every, settings = np.load(f"{work}/scores.npy"), json.loads(Path(work, "settings.json").read_text("utf-8"))
    means = [float(ndcg(list(one), list(here.gains.values())).mean()) for one in every]
    return every[int(np.argmax(means))], settings[int(np.argmax(means))]


def mistype(query: str, rng: np.random.Generator) -> str:
    """One letter inserted, dropped, swapped with the next of its word, or replaced, at any place of a query."""
    at = int(rng.choice([place for place, letter in enumerate(query) if letter != " "]))
    letter = str(rng.choice([one for one in string.ascii_lowercase if one != query[at].lower()]))
    after = query[at + 1:at + 2]
    kind = int(rng.integers(4))
    if kind == 2 and not after.strip():
        kind = 3
    return query[:at] + (letter + query[at], "", after + query[at], letter)[kind] + query[at + (2 if kind == 2 else 1):]


def edited(here: World, plain: np.ndarray) -> list[dict[str, Any]]:
    """NDCG@10 with one edit in every query, draw by draw."""
    rows = []
    for draw in range(EDITED):
        rng = np.random.default_rng(draw)
        typed = [mistype(query, rng) for query in here.queries]
        found = ndcg([here.scores(query) for query in typed], list(here.gains.values()))
        rows.append({"draw": draw, "NDCG@10": float(found.mean()), "kept": float(found.mean() / plain.mean())})
    return rows


def adapted(here: World, pairs: int) -> np.ndarray:
    """float64 [Q]: NDCG@10 with weights learned from so many judged pairs of other queries, averaged over draws."""
    searched = Searched(here.catalogue.vectors, here.encoder, here.lexical, np.zeros(len(here.lexical.documents.texts)))
    found = np.zeros((DRAWS, len(here.gains)))
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        fold = rng.permutation(len(here.gains)) % FOLDS
        for held in range(FOLDS):
            others = [query for query, of in zip(here.queries, fold, strict=True) if of != held]
            every = [(query, int(row), float(gain)) for query in others
                     for row, gain in zip(*here.gains[query], strict=True)]
            asked: dict[str, dict[int, float]] = {}
            for at in rng.permutation(len(every))[:pairs].tolist():
                query, row, gain = every[at]
                asked.setdefault(clean_query(query), {})[int(here.lexical.documents.of_item[row])] = gain
            asked = {query: graded for query, graded in asked.items() if any(graded.values())}
            config, _ = learn_weights(make_lists(asked, searched, rng), here.learned.config, rng, True)
            inside = np.flatnonzero(fold == held)
            own = [here.queries[at] for at in inside]
            found[draw, inside] = ndcg([here.scores(query, config) for query in own], [here.gains[query] for query in own])
    return found.mean(axis=0)


def strangers(count: int) -> list[str]:
    """Random strings of five to twelve letters."""
    rng = np.random.default_rng(7)
    return ["".join(rng.choice(list(string.ascii_lowercase), rng.integers(5, 13))) for _ in range(count)]


def speed(folder: Path) -> list[dict[str, Any]]:
    """Milliseconds from query to ranked list over the bought products; every other query is mistyped."""
    bundle, rng = Bundle.load(folder), np.random.default_rng(3)
    shared, _ = hybrid.bought(bundle, hybrid.segment_head(bundle))
    asked = hybrid.queries(bundle, SPEED_QUERIES)
    rows = []
    for name, typed in {"as typed": asked, "one edit each": [mistype(query, rng) for query in asked]}.items():
        rounds = [[one["ms"] for one in hybrid.ours(bundle, shared, typed, None)][hybrid.WARM:] for _ in range(ROUNDS)]
        rows.append({"queries": name, "items": len(shared.texts), "p50_ms": float(np.median([np.median(one) for one in rounds])),
                     "p99_ms": float(np.median([np.quantile(one, 0.99) for one in rounds]))})
    return rows


def measure(bundle: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables.

    Args:
        bundle: of a finished chain over the embedded shop.
    """
    here, spoken = world(), speed(bundle)
    gains, config = list(here.gains.values()), here.learned.config
    ways: dict[str, Callable[[str], np.ndarray]] = {
        "hybrid": here.scores, "its words": lambda query: here.scores(query, config.model_copy(update={"text": 0.0})),
        "its meaning": lambda query: here.scores(query, config.model_copy(update={"words": 0.0}))}
    scores = {name: [way(query) for query in here.queries] for name, way in ways.items()}
    peer, settings = best_bm25(here)
    scores |= {"BM25 at its best": list(peer), "frozen encoder": list(here.zero_shot)}
    found = {name: ndcg(one, gains) for name, one in scores.items()}
    learned = {pairs: adapted(here, pairs) for pairs in PAIRS}
    typed, plain = edited(here, found["hybrid"]), found["hybrid"]
    nonsense, real = [here.flagged(one) for one in strangers(NONSENSE)], [here.flagged(query) for query in here.queries]
    bars = [_gap("esci.hybrid_minus_bm25_ndcg_low", plain - found["BM25 at its best"], f"BM25 with {settings}"),
            _gap("esci.hybrid_minus_zero_shot_ndcg_low", plain - found["frozen encoder"], "frozen encoder, float32")]
    gap = _interval(learned[PAIRS[-1]] - plain)
    bars += [Bar(f"esci.adapted_minus_hybrid_ndcg@{PAIRS[-1]}", gap.mean, ">", 0, gap.low, gap.high, gap.n,
                 f"judged pairs of other queries, {DRAWS} draws of {FOLDS} folds"),
             Bar("esci.typo_ndcg_kept", float(np.mean([row["kept"] for row in typed])), ">=", 0.92,
                 min(row["kept"] for row in typed), max(row["kept"] for row in typed), len(plain),
                 f"{EDITED} draws; least and most of them"),
             Bar("search.nonsense_flagged", float(np.mean(nonsense)), ">=", 0.95, n=NONSENSE, note="5 to 12 random letters"),
             Bar("search.real_flagged", float(np.mean(real)), "<=", 0.02, n=len(real), note="ESCI's judged queries"),
             Bar("search.p99_ms_43k", max(row["p99_ms"] for row in spoken), "<=", 5, n=SPEED_QUERIES,
                 note=f"{spoken[0]['items']:,} bought products, one thread; the worse of as typed and with one edit each")]
    tables = {
        "ESCI, NDCG@10 and recall@50 over the whole catalogue":
            [{"search": name, "NDCG@10": float(found[name].mean()), "recall@50": recall(one, gains)}
             for name, one in scores.items()],
        "ESCI, adapted by judged pairs of other queries": [
            {"pairs": pairs, "NDCG@10": float(one.mean()), "gain": (span := _interval(one - plain)).mean, "low": span.low,
             "high": span.high} for pairs, one in learned.items()],
        "ESCI, one edit in every query": typed,
        "Weights of the default": [{**config.model_dump(), **here.learned.about}],
        "Milliseconds of a search": spoken}
    return bars, tables


def _interval(gaps: np.ndarray) -> Interval:
    return paired_bootstrap(gaps, np.arange(len(gaps)), np.random.default_rng(0))


def _gap(name: str, gaps: np.ndarray, note: str) -> Bar:
    found = _interval(gaps)
    return Bar(name, found.low, ">", 0, found.low, found.high, found.n, f"mean {found.mean:+.3f}; {note}")
