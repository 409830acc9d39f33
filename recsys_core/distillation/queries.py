"""The queries a student learns from: those that shoppers sent, and where these are few, queries generated from the catalogue.

A shopper types a few words of what an item is, seldom its whole title, and mistypes some. So a generated query is a span of
an item's title or text, some words of its title in any order, a brand or category with such words, and now and then
one of its letters is lost, doubled or swapped. It stands for its item: what no teacher is needed to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.words import UNSEGMENTED

LENGTHS = {1: 0.15, 2: 0.22, 3: 0.22, 4: 0.17, 5: 0.12, 6: 0.07, 8: 0.05}  # words of a generated query, as web queries are spread
TYPO = 0.15  # share of generated queries with one letter wrong
SHUFFLED = 0.3  # share of word choices that do not keep the title's order
PIECE = re.compile(UNSEGMENTED.pattern.rstrip("+") + r"|[^\s" + UNSEGMENTED.pattern.strip("[]+") + "]+")
EDGES = " \t.,;:!?()[]{}\"'|<>&-–—/"


@dataclass(frozen=True)
class Queries:
    """Queries and the documents they were cut from.

    Args:
        texts: n distinct queries.
        document: int64 [n], row of the distinct item text it stands for; −1 for a logged query.
    """

    texts: list[str]
    document: np.ndarray

    @property
    def generated(self) -> int:
        """How many were generated."""
        return int((self.document >= 0).sum())

    def rows(self, rows: np.ndarray) -> Queries:
        """Some of them."""
        return Queries([self.texts[row] for row in rows], self.document[rows])


def logged_queries(events: Mapping[str, pl.LazyFrame]) -> list[str]:
    """What shoppers searched for, as often as they did.

    Args:
        events: day → `schema.CLEAN_EVENTS`.
    """
    days = [day.filter(pl.col("event_type") == "search").select(pl.col("query").drop_nulls()) for day in events.values()]
    return pl.concat(days).collect()["query"].to_list() if days else []


def make_queries(items: pl.DataFrame, documents: Sequence[str], logged: Sequence[str], count: int,
                 rng: np.random.Generator) -> Queries:
    """The logged queries, then generated ones until there are `count`.

    Args:
        items: `schema.CLEAN_ITEMS`.
        documents: the distinct item texts, in the order that rows of `Queries.document` count.
        logged: what shoppers searched for; at most half of `count` are taken, the most frequent first.
        count: how many to make; fewer where the catalogue gives no more.
        rng: draws spans, words and typos.
    """
    times = pl.Series("query", logged, dtype=pl.String).value_counts(sort=True).sort("count", "query", descending=[True, False])
    found = {text: -1 for text in times["query"].to_list()[:count // 2] if text.strip()}
    row_of = {text: row for row, text in enumerate(documents)}
    about = items.unique("text", keep="first", maintain_order=True).filter(pl.col("text").is_in(row_of)).select(
        "text", "title", "brand", "category").rows()
    for number in range(2 * count):
        if len(found) >= count or not about:
            break
        if number % len(about) == 0:
            order = rng.permutation(len(about))
        text, title, brand, category = about[order[number % len(about)]]
        query = _query(text, title or text, brand, category, rng)
        if query:
            found.setdefault(query, row_of[text])
    return Queries(list(found), np.array(list(found.values()), np.int64))


def _query(text: str, title: str, brand: str | None, category: str | None, rng: np.random.Generator) -> str:
    """One query for an item; may be empty."""
    width = int(rng.choice(list(LENGTHS), p=list(LENGTHS.values())))
    kind = rng.integers(4)
    if kind == 0:
        query = _span(text, width, rng)
    elif kind == 1:
        query = _span(title, width, rng)
    elif kind == 2:
        query = _choice(title, width, rng)
    else:
        names = [name for name in (brand, *(category or "").split(CATEGORY_SEPARATOR)) if name]
        named = names[int(rng.integers(len(names)))] if names else ""
        query = " ".join(rng.permutation([named, _span(title, max(1, width - 2), rng)])) if rng.random() < 0.7 else named
    query = " ".join(word for word in (part.strip(EDGES) for part in query.split()) if word)
    return _mistyped(query, rng) if rng.random() < TYPO else query


def _span(text: str, width: int, rng: np.random.Generator) -> str:
    """Consecutive words; characters in scripts that put no spaces between words."""
    pieces = list(PIECE.finditer(text))
    if not pieces:
        return ""
    start = int(rng.integers(max(1, len(pieces) - width + 1)))
    return text[pieces[start].start():pieces[min(start + width, len(pieces)) - 1].end()]


def _choice(text: str, width: int, rng: np.random.Generator) -> str:
    """Some words, mostly in their order."""
    words = text.split()
    kept = rng.choice(len(words), min(width, len(words)), replace=False) if words else np.zeros(0, np.int64)
    return " ".join(words[place] for place in (kept if rng.random() < SHUFFLED else np.sort(kept)))


def _mistyped(query: str, rng: np.random.Generator) -> str:
    """One inner letter lost, doubled, or swapped with the next; short queries stay."""
    if len(query) < 5:
        return query
    at, kind = int(rng.integers(1, len(query) - 1)), rng.integers(3)
    middle = ("", query[at] * 2, query[at + 1] + query[at])[kind]
    return query[:at] + middle + query[at + (2 if kind == 2 else 1):]
