"""Hashed n-grams of texts as sparse rows, in NumPy alone: of characters within words, and of words and pairs of them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recsys_core.words import tokenize

BUCKETS = 2**18  # of each kind of n-gram; a shop's shots hold some 10,000
SIZES = (2, 3, 4, 5)  # of n-grams of characters, a word's edges counted as spaces
BLOCK = 2048  # columns that are held as a dense matrix at a time


@dataclass(frozen=True)
class Ngrams:
    """Sparse rows, one per text.

    Args:
        texts: how many. row, column: int64 [k], sorted by row, then by column. value: float32 [k].
    """

    texts: int
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray

    def weigh(self, columns: np.ndarray, idf: np.ndarray) -> Ngrams:
        """The known n-grams times their idf; those of characters and those of words are each of unit length per text.

        Unknown ones count in that length as the rarest: the less of a text is known, the less its n-grams say.

        Args:
            columns: int64 [m], sorted, the known buckets.
            idf: float32 [m].

        Returns:
            columns are places in `columns`.
        """
        place = np.minimum(np.searchsorted(columns, self.column), len(columns) - 1)
        known = columns[place] == self.column
        weighed = self.value * np.where(known, idf[place], idf.max())
        group = 2 * self.row + (self.column >= BUCKETS)
        length = np.sqrt(np.bincount(group, weighed.astype(np.float64)**2, minlength=2 * self.texts))
        return Ngrams(self.texts, self.row[known], place[known], (weighed / length[group])[known].astype(np.float32))

    def times(self, weights: np.ndarray) -> np.ndarray:
        """float32 [n, C]: the rows times weights float32 [m, C]."""
        found = np.zeros((self.texts, weights.shape[1]), np.float32)
        starts = np.searchsorted(self.row, np.arange(self.texts + 1))
        for row in range(self.texts):
            own = slice(starts[row], starts[row + 1])
            found[row] = self.value[own] @ weights[self.column[own]]
        return found

    def gram(self, width: int) -> np.ndarray:
        """float64 [n, n]: inner products of the rows of `width` columns."""
        found = np.zeros((self.texts, self.texts))
        for block in self.blocks(width):
            found += block @ block.T
        return found

    def blocks(self, width: int) -> Iterator[np.ndarray]:
        """All `width` columns as dense float32 [n, w], some at a time."""
        order = np.argsort(self.column, kind="stable")
        row, column, value = self.row[order], self.column[order], self.value[order]
        for start in range(0, width, BLOCK):
            end = min(start + BLOCK, width)
            own = slice(*np.searchsorted(column, [start, end]))
            dense = np.zeros((self.texts, end - start), np.float32)
            dense[row[own], column[own] - start] = value[own]
            yield dense


def count_ngrams(texts: Sequence[str]) -> Ngrams:
    """1 + log count of each text's n-grams; buckets of characters before those of words."""
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        words = tokenize(text)
        found = Counter(zlib.crc32(piece.encode("utf-8", "surrogatepass")) % BUCKETS for piece in _characters(text))
        found.update(zlib.crc32(piece.encode("utf-8", "surrogatepass")) % BUCKETS + BUCKETS
                     for piece in (*words, *map(" ".join, pairwise(words))))
        own = sorted(found)
        rows.append(np.full(len(own), row, np.int64))
        columns.append(np.array(own, np.int64))
        values.append(np.array([found[place] for place in own], np.float32))
    empty = np.zeros(0, np.int64)
    return Ngrams(len(texts), np.concatenate([empty, *rows]), np.concatenate([empty, *columns]),
                  1 + np.log(np.concatenate([empty.astype(np.float32), *values])))


def _characters(text: str) -> Iterator[str]:
    for word in text.casefold().split():
        word = f" {word} "
        for size in SIZES:
            yield from (word[at:at + size] for at in range(max(len(word) - size, 0) + 1))
            if len(word) <= size:
                break
