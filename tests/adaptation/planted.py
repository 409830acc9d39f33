"""A small catalogue with words for texts, and shoppers whose likings are known exactly."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import polars as pl

from recsys_core.adaptation.study import Study
from recsys_core.ingestion.config import FamilySpec, SegmentSpec
from recsys_core.interactions.arrays import Catalogue, Histories, Interactions, make_interactions
from recsys_core.interactions.windows import Window

LOCK = {"encoder": "e" * 64, "tokenizer": "t" * 64, "features": "f" * 64}
DAY = 86_400
NOUNS = {"kitchen": ["mug", "cup", "plate"], "home": ["lamp", "rug", "chair"], "bakery": ["bread", "cheese", "butter"],
         "dairy": ["milk", "tea", "coffee"]}
WORDS = ["red", "blue", "green", "big", "small", *itertools.chain(*NOUNS.values())]


def word_vectors(texts: list[str], dim: int = 24) -> np.ndarray:
    """Sum of a random vector per word, normalised: float32 [n, dim]."""
    rng = np.random.default_rng(3)
    of_word = {word: rng.normal(size=dim) for word in WORDS}
    rows = np.array([sum(of_word[word] for word in text.split()) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_catalogue(encode=word_vectors) -> Catalogue:
    """144 items: 72 texts "<size> <colour> <noun>" in four categories, each sold by two brands."""
    rows = [(f"i{row:03d}", f"{size} {colour} {noun}", category, brand)
            for row, (size, colour, (category, noun), brand) in enumerate(itertools.product(
                ("big", "small"), ("red", "blue", "green"),
                [(category, noun) for category, nouns in NOUNS.items() for noun in nouns], ("acme", "zen")))]
    items = pl.DataFrame(rows, schema=["item_id", "text", "category", "brand"], orient="row")
    texts = items["text"].unique().sort()
    row_of = {text: row for row, text in enumerate(texts)}
    return Catalogue(items, np.array([row_of[text] for text in items["text"]], np.int32), encode(texts.to_list()))


def likes(catalogue: Catalogue, word: str | None = None, category: str | None = None, items: list[int] | None = None,
          factor: float = 12.0) -> np.ndarray:
    """A taste, float64 [N], sums to 1: `factor` times uniform for a word, a category, or single items."""
    share = np.ones(len(catalogue))
    if word is not None:
        share[catalogue.items["text"].str.contains(word).to_numpy()] *= factor
    if category is not None:
        share[(catalogue.items["category"] == category).to_numpy()] *= factor
    if items is not None:
        share[items] *= factor
    return share / share.sum()


def gain(taste: np.ndarray, base: np.ndarray, offsets: np.ndarray) -> float:
    """Expected log-likelihood that offsets add over the base under a taste, in nats per choice."""
    return float(taste @ offsets - np.log(base @ np.exp(offsets.astype(np.float64))))


class PopularityRanker:
    """A base that knows nothing but each item's share."""

    def __init__(self, catalogue: Catalogue, share: np.ndarray) -> None:
        self.catalogue, self.share = catalogue, share
        self.counts = SimpleNamespace(popularity=share * 1000)

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray:
        return np.tile(np.log(self.share).astype(np.float32), (len(histories), 1))


def make_events(taste: np.ndarray, seed: int = 0, users: int = 40, steps: int = 8) -> Interactions:
    """Each user takes one item a day, drawn from a taste."""
    rng = np.random.default_rng(seed)
    n = users * steps
    return Interactions(np.repeat(np.arange(users), steps).astype(np.int32),
                        rng.choice(len(taste), n, p=taste).astype(np.int32),
                        np.tile(np.arange(steps) * DAY, users).astype(np.int64), np.zeros(n, np.int8),
                        np.arange(n), [f"u{user:03d}" for user in range(users)])


STORES = FamilySpec(name="store", by="context.store")
CUTS = (10 * DAY, 14 * DAY, 17 * DAY, 20 * DAY)  # T0 to T3 of `planted_study`


class PlantedBase:
    """A base model artefact whose every ranker is the popularity before its cut-off."""

    def __init__(self, catalogue: Catalogue, table: pl.DataFrame, plan: Mapping[str, Window]) -> None:
        self.catalogue, self.lock, self.plan = catalogue, dict(LOCK), dict(plan)
        self._events = make_interactions(table, catalogue)

    def ranker(self, cutoff: int) -> PopularityRanker:
        counts = np.bincount(self._events.before(cutoff).item, minlength=len(self.catalogue)) + 0.5
        return PopularityRanker(self.catalogue, counts / counts.sum())

    def serving(self) -> PopularityRanker:
        return self.ranker(2**40)


def planted_study(tastes: Mapping[str, np.ndarray], *, users: int = 20, days: int = 20, seed: int = 0,
                  segments: tuple[SegmentSpec, ...] = (), segment_items: Mapping[str, list[str]] | None = None) -> Study:
    """A shop of stores: each has `users` shoppers of its own who take one item a day, drawn from the store's taste.

    Args:
        tastes: store → float64 [N]. segment_items: segment → the items whose events are its own.
    """
    rng, catalogue, rows = np.random.default_rng(seed), make_catalogue(), []
    for store, taste in tastes.items():
        drawn = rng.choice(len(taste), (users, days), p=taste)
        rows += [(f"{store}-u{user:02d}-{day:02d}", f"{store}-u{user:02d}", f"i{drawn[user, day]:03d}", day * DAY * 1_000_000,
                  f'{{"store": "{store}"}}') for user in range(users) for day in range(days)]
    table = pl.DataFrame(rows, schema=["event_id", "user_id", "item_id", "timestamp", "context"], orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), event_type=pl.lit("purchase"), session_id=pl.lit("s"))
    chosen = [table.filter(pl.col("item_id").is_in(items)).select(pl.lit(name).alias("segment"), "event_id")
              for name, items in (segment_items or {}).items()]
    events = pl.concat(chosen) if chosen else pl.DataFrame(schema={"segment": pl.String, "event_id": pl.String})
    plan = {name: Window(name, 6 * DAY, *CUTS) for name in (STORES.name, *(spec.name for spec in segments))}
    return Study(PlantedBase(catalogue, table, plan), table, events, list(segments), [STORES])
