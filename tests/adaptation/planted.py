"""A small catalogue with words for texts, and shoppers whose likings are known exactly."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from recsys_core.base_model.data import Catalogue, Histories, Interactions

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
