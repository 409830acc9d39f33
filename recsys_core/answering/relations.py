"""What two like items are to each other: the same product, a variant of it, a substitute, or a complement.

Rules over closed-form evidence, not learned: thresholds are relative to the item's own neighbours, so no shop is tuned to.

- duplicate: the same words, amounts and numbers, and no column with another value
- variant: (nearly) the same words and no other brand, but another size, count, colour or other column
- complement: bought together, and its text is not near
- substitute: the same category, or a text that is near
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import polars as pl

from recsys_core.amounts import amounts, unit_kind
from recsys_core.base_model import Ranker
from recsys_core.interactions import Catalogue
from recsys_core.retrieval import analyse
from recsys_core.schema import CLEAN_ITEMS
from recsys_core.units import UNIT

Relation = Literal["duplicate", "variant", "substitute", "complement"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
LONGEST_VALUE = 60  # characters of a column that tells variants apart; longer ones are prose
SHARED, LEAST_SHARED = 0.75, 2  # of the longer name's words, and how many words, that variants share
NEAR = 2.0  # standard deviations above an item's mean cosine from which a text is near
MEASURE = re.compile(rf"(\d+(?:\.\d+)?)({UNIT})")  # as `analyse` writes one
SIZES = frozenset(["xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl", "small", "medium", "large"])  # words that stand for a number
COMPANIONS = 20  # of an item that count as bought together, the closest first


@dataclass(frozen=True)
class Identity:
    """What tells an item from others.

    Args:
        words: stems of its title, without its numbers, its brand and what its columns say.
        compact: these as one string, in order: "t shirt" is "tshirt".
        brand: likewise; empty: unknown.
        numbers: amounts in base units, other numbers, and sizes.
        details: column → its value as words and amounts; columns without a value are left out.
    """

    words: frozenset[str]
    compact: str
    brand: frozenset[str]
    numbers: frozenset[str]
    details: dict[str, frozenset[str]]

    def same_brand(self, other: Identity) -> bool:
        """Whether no brand speaks against it."""
        return not self.brand or not other.brand or self.brand == other.brand

    def same_name(self, other: Identity) -> bool:
        """Whether the words are the same, in any order, or in order with other spaces."""
        return bool(self.words) and (self.words == other.words or self.compact == other.compact)

    def near_name(self, other: Identity) -> bool:
        """Whether most words are the same."""
        shared = len(self.words & other.words)
        return shared >= LEAST_SHARED and shared >= SHARED * max(len(self.words), len(other.words))

    def same_details(self, other: Identity) -> bool:
        """Whether amounts, numbers and every column that both have agree."""
        return self.numbers == other.numbers and all(
            self.details[name] == other.details[name] for name in self.details.keys() & other.details.keys())


class Relations:
    """Tells relations of one item.

    Args:
        items: the catalogue's with every column that may tell variants apart.
        catalogue: N items.
        ranker: whose counts say what is bought together.
        row: the item's.
    """

    def __init__(self, items: pl.DataFrame, catalogue: Catalogue, ranker: Ranker, row: int) -> None:
        self._items, self._catalogue, self._companions, self._row = items, catalogue, ranker.counts.companions, row
        self._columns = [name for name, dtype in items.schema.items() if dtype == pl.String and name not in CLEAN_ITEMS]
        self._least = ranker.config.companion_epsilon
        self._own = self._identity(row)

    @cached_property
    def cosines(self) -> np.ndarray:
        """float32 [M]: of the item's text with every text."""
        vectors = self._catalogue.vectors
        return np.asarray(vectors @ vectors[self._catalogue.text_of_item[self._row]])

    def of(self, rows: Sequence[int]) -> list[Relation | None]:
        """What other items are to this one; None: no rule holds.

        Args:
            rows: of them.
        """
        near = float(self.cosines.mean() + NEAR * self.cosines.std())
        return [self._of(row, bool(self.cosines[self._catalogue.text_of_item[row]] >= near)) for row in rows]

    def _of(self, row: int, near: bool) -> Relation | None:
        own, other = self._own, self._identity(row)
        if own.same_brand(other) and (own.same_name(other) or own.near_name(other)):
            return "duplicate" if own.same_name(other) and own.same_details(other) else "variant"
        if not near and (self._together(self._row, row) or self._together(row, self._row)):
            return "complement"
        category = self._items["category"][self._row]
        return "substitute" if near or (category is not None and category == self._items["category"][row]) else None

    def _together(self, row: int, other: int) -> bool:
        """Whether an item is among the closest companions of another."""
        low, high = self._companions.indptr[row:row + 2].tolist()
        place = low + int(np.searchsorted(self._companions.indices[low:high], other))
        if place >= high or self._companions.indices[place] != other or self._companions.data[place] < self._least:
            return False
        return int((self._companions.data[low:high] > self._companions.data[place]).sum()) < COMPANIONS

    def _identity(self, row: int) -> Identity:
        title, brand = _read(self._items["title"][row] or ""), _read(self._items["brand"][row] or "")
        values = {name: value for name in self._columns if (value := self._items[name][row]) and len(value) <= LONGEST_VALUE}
        told = {name: _read(value) for name, value in values.items()}
        aside = {word for one in (brand, *told.values()) for word in one.words}
        words = [word for word in title.words if word not in aside] or title.words
        return Identity(frozenset(words), "".join(words), frozenset(brand.words), title.numbers,
                        {name: frozenset(one.words) | one.numbers for name, one in told.items()})


@dataclass(frozen=True)
class _Text:
    """A text apart: words in order, and amounts in base units beside all other numbers."""

    words: list[str]
    numbers: frozenset[str]


def _read(text: str) -> _Text:
    words: list[str] = []
    named = amounts(text)
    values, numbers = {f"{one.value:g}" for one in named}, {f"{one.base:.4g} {one.kind}" for one in named}
    implied: set[str] = set()  # what `analyse` says once more of the measure before
    for token in analyse(text):
        measure = MEASURE.fullmatch(token)
        if measure is not None:
            implied = {measure[1], measure[2]}
        if token in implied:
            continue
        if measure is None or not unit_kind(measure[2]):
            implied = implied if measure else set()
            if token in SIZES or any(map(str.isdigit, token)):
                numbers |= {token} - values
            elif all("".join(words[-count:]) != token for count in (2, 3)):  # a hyphenated word is also told joined
                words.append(token)
    return _Text(words, frozenset(numbers))
