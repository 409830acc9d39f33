"""Sparse rows as three arrays, with the few operations that a request needs.

SciPy's matrices check and convert more than a request computes, and they weigh more than everything else that serving
installs but Polars. Counting, which happens once a night, uses SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DENSE_SHARE = 32  # a row with more entries than 1/32 of the columns is summed over all columns: faster than sorting


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix [n, size] in compressed rows, columns ascending within a row, none twice.

    Args:
        indptr: int64 [n + 1].
        indices: int [entries], columns.
        data: float32 [entries].
        size: number of columns.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    size: int

    @classmethod
    def of(cls, matrix: Any) -> Sparse:
        """The same of a SciPy CSR array; its columns are sorted in place."""
        matrix.sort_indices()
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data, matrix.shape[1])

    @classmethod
    def summed(cls, rows: np.ndarray, columns: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> Sparse:
        """From entries in any order; those of one place add up.

        Args:
            rows: int [entries].
            columns: int [entries].
            weight: float [entries].
            shape: rows and columns of the matrix.
        """
        key, inverse = np.unique(rows.astype(np.int64) * shape[1] + columns, return_inverse=True)
        indptr = starts(np.bincount(key // shape[1], minlength=shape[0]))
        return cls(indptr, (key % shape[1]).astype(np.int32), np.bincount(inverse, weight, len(key)).astype(np.float32), shape[1])

    def grown(self, rows: int, size: int) -> Sparse:
        """The same with so many rows and columns; those that are new are empty."""
        more = np.full(rows - len(self), self.indptr[-1], np.int64)
        return Sparse(np.concatenate([self.indptr, more]), self.indices, self.data, size)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def like(self, data: np.ndarray) -> Sparse:
        """Other values at the same places."""
        return Sparse(self.indptr, self.indices, data.astype(np.float32, copy=False), self.size)

    def rows(self) -> np.ndarray:
        """int64 [entries]: the row of every entry."""
        return np.repeat(np.arange(len(self)), self.indptr[1:] - self.indptr[:-1])

    def dense(self) -> np.ndarray:
        """float32 [n, size]."""
        out = np.zeros((len(self), self.size), np.float32)
        out[self.rows(), self.indices] = self.data
        return out

    def times(self, right: Sparse) -> Sparse:
        """The matrix product with `right` [size, m]: sparse [n, m]."""
        found = [_combine(right, self.indices[low:high], self.data[low:high])
                 for low, high in zip(self.indptr[:-1], self.indptr[1:], strict=True)]
        columns = np.concatenate([np.zeros(0, np.int32), *(one for one, _ in found)])
        values = np.concatenate([np.zeros(0, np.float32), *(one for _, one in found)])
        return Sparse(starts([len(one) for one, _ in found]), columns, values, right.size)

    def onto(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix product with a dense float32 [size, d]: float32 [n, d]."""
        out = np.empty((len(self), matrix.shape[1]), np.float32)
        for row, (low, high) in enumerate(zip(self.indptr[:-1], self.indptr[1:], strict=True)):
            out[row] = self.data[low:high] @ matrix[self.indices[low:high]]
        return out

    def where(self, other: Sparse) -> Sparse:
        """Each entry times that of `other` [n, size] at the same place; what either lacks is left out."""
        if not len(other.indices):
            return Sparse(np.zeros(len(self) + 1, np.int64), self.indices[:0], self.data[:0], self.size)
        rows = self.rows()
        mine, theirs = rows * self.size + self.indices, other.rows() * self.size + other.indices  # ascending, none twice
        place = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
        kept = theirs[place] == mine
        return Sparse(starts(np.bincount(rows[kept], minlength=len(self))), self.indices[kept],
                      self.data[kept] * other.data[place[kept]], self.size)

    def at(self, row: int, columns: np.ndarray) -> np.ndarray:
        """One row's values at some columns: float32 [len(columns)]."""
        return self.read(*self.find(row, columns))

    def find(self, row: int, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some columns have an entry in a row, bool [len(columns)], and where those entries are."""
        low, high = self.indptr[row], self.indptr[row + 1]
        if low == high:
            return np.zeros(len(columns), bool), np.zeros(0, np.int64)
        mine = self.indices[low:high]
        place = np.minimum(np.searchsorted(mine, columns), len(mine) - 1)
        there = mine[place] == columns
        return there, place[there] + low

    def read(self, there: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """The values at columns that were found: float32, 0 where there is no entry."""
        out = np.zeros(len(there), np.float32)
        out[there] = self.data[entries]
        return out


def starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each of n rows of these lengths begins, and the end: int64 [n + 1]."""
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def _combine(matrix: Sparse, rows: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted sum of some rows: its columns, ascending, and its values float32."""
    first = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - first
    at = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    columns, values = matrix.indices[at], np.repeat(weight, lengths) * matrix.data[at]
    if len(columns) * DENSE_SHARE > matrix.size:
        total = np.bincount(columns, values, matrix.size)
        kept = np.flatnonzero(total != 0).astype(np.int32)  # of booleans, ten times as fast as of floats
        return kept, total[kept].astype(np.float32)
    kept, inverse = np.unique(columns, return_inverse=True)
    return kept, np.bincount(inverse, values, len(kept)).astype(np.float32)
