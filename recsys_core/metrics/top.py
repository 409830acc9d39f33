"""The best items of a score, with one rule for equal scores: what is reported is what serving answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

TIE_SEED = b"recsys-ties"
BLOCK = 64  # scores whose maximum stands for them
BLOCKS_PER_ROW = 8  # with fewer blocks per row of the answer, sorting out blocks saves nothing


def tie_ranks(item_ids: Sequence[str], popularity: np.ndarray) -> np.ndarray:
    """int32 [N]: the order among equal scores, 0 first: behaviour decides, then a keyed hash of the id.

    Id order would favour whatever a shop happened to number first.
    """
    digests = [hashlib.blake2b(item.encode(), digest_size=8, key=TIE_SEED).digest() for item in item_ids]
    hashes = np.frombuffer(b"".join(digests), "<u8")
    order = np.lexsort((hashes, -np.asarray(popularity, np.float64)))
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def top_rows(scores: np.ndarray, k: int, ties: np.ndarray) -> np.ndarray:
    """The rows of the k best scores, best first; items at −inf are not candidates.

    Args:
        scores: float32 [N].
        k: length of the list.
        ties: int32 [N], see `tie_ranks`.

    >>> top_rows(np.array([1., 3., 3., -np.inf]), 3, np.array([0, 2, 1, 3])).tolist()
    [2, 1, 0]
    """
    rows = _likely(scores, k)
    if rows is not None:
        return rows[_top(scores[rows], k, ties[rows])]
    return _top(scores, k, ties)


def _likely(scores: np.ndarray, k: int) -> np.ndarray | None:
    """The rows, ascending, among which the k best are; None: any may be. The k-th best is no worse than the k-th best block."""
    blocks = len(scores) // BLOCK
    if not 0 < k * BLOCKS_PER_ROW <= blocks:
        return None
    best = scores[:blocks * BLOCK].reshape(BLOCK, blocks).max(axis=0)  # a block is a column: rows are compared at once
    least = np.partition(best, blocks - k)[blocks - k]
    return None if least == -np.inf else np.flatnonzero(scores >= least)


def _top(scores: np.ndarray, k: int, ties: np.ndarray) -> np.ndarray:
    k = min(k, int(np.isfinite(scores).sum()))
    if k <= 0:
        return np.zeros(0, np.int64)
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > kth)
    level = np.flatnonzero(scores == kth)
    level = level[np.argsort(ties[level])][:k - len(above)]
    return np.concatenate([above[np.lexsort((ties[above], -scores[above]))], level])


def top_items(scores: np.ndarray, k: int, ties: np.ndarray) -> np.ndarray:
    """The lists of n histories, best items first: int32 [n, k], −1 where fewer are offered.

    Args:
        scores: float32 [n, N]; items at −inf are not candidates.
        k: length of a list.
        ties: int32 [N], see `tie_ranks`.

    >>> top_items(np.array([[.1, .9, -np.inf, .9]], np.float32), 4, np.arange(4)).tolist()
    [[1, 3, 0, -1]]
    """
    best = np.full((len(scores), k), -1, np.int32)
    for row, values in enumerate(scores):
        top = top_rows(values, k, ties)
        best[row, :len(top)] = top
    return best
