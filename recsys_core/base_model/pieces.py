"""The forms that the ranker's parts take, and their weighted sum: what several parts share is looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from recsys_core.base_model.sparse import Sparse

FEW, BLOCK = 4, 1024  # profiles, and vectors at a time; see `cosines`
LOOKED_UP = 64  # items whose texts are compared one by one; for more, all are


class Piece(Protocol):
    """One part of n histories in its cheapest form."""

    def at(self, row: int, columns: np.ndarray) -> np.ndarray:
        """The part of one history at some items, unweighted: float32 [len(columns)]."""


@dataclass(frozen=True)
class Static:
    """The same value per item for every history: float32 [N]."""

    values: np.ndarray

    def at(self, row: int, columns: np.ndarray) -> np.ndarray:
        return self.values[columns]


@dataclass(frozen=True)
class Grouped:
    """One value per group of items (a text, a brand, a category): values [n, G], group intp [N]: other integers would be
    converted at every look."""

    values: np.ndarray
    group: np.ndarray

    def at(self, row: int, columns: np.ndarray) -> np.ndarray:
        return self.values[row, self.group[columns]]


@dataclass(frozen=True)
class Projected:
    """Cosine of each item's text to a profile: profiles [n, d], vectors [M, d], group intp [N].

    Weighted profiles are added up before they meet the vectors, so one product serves all parts of this kind.
    """

    profiles: np.ndarray
    vectors: np.ndarray
    group: np.ndarray

    @cached_property
    def values(self) -> np.ndarray:
        """float32 [n, M]."""
        return cosines(self.profiles, self.vectors)

    def at(self, row: int, columns: np.ndarray) -> np.ndarray:
        texts = self.group[columns]
        return self.vectors[texts] @ self.profiles[row] if len(texts) <= LOOKED_UP else self.values[row, texts]

    def pairs(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The part of history rows[i] at items[i]: float32 [entries]."""
        return np.einsum("ij,ij->i", self.profiles[rows], self.vectors[self.group[items]])


@dataclass(frozen=True)
class Kinds:
    """Items that no group tells apart: K combinations of groups.

    Args:
        of_item: intp [N].
        groups: the groups intp [N] that are combined, and the group of every kind, intp [K].
    """

    of_item: np.ndarray
    groups: Sequence[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, groups: Sequence[np.ndarray]) -> Kinds:
        """Of groups intp [N]."""
        whole = np.zeros(len(groups[0]), np.int64)
        for group in groups:
            _, whole = np.unique(whole * (int(group.max(initial=0)) + 1) + group, return_inverse=True)
        _, first, of_item = np.unique(whole, return_index=True, return_inverse=True)
        return cls(of_item.astype(np.intp), [(group, group[first]) for group in groups])


def add_weighted(pieces: Sequence[Piece], weights: np.ndarray, kinds: Kinds, total: np.ndarray) -> None:
    """Add all weighted parts of n histories but the static ones to their scores, in place.

    What several parts share is looked up once.

    Args:
        weights: float32 [n, P].
        kinds: of all groups that the pieces have.
        total: float32 [n, N].
    """
    projected = [(at, piece) for at, piece in enumerate(pieces) if isinstance(piece, Projected)]
    near = None
    if projected:
        profile = sum(weights[:, at, None] * piece.profiles for at, piece in projected)
        near = projected[0][1].group, cosines(np.asarray(profile), projected[0][1].vectors)
    for row, scores in enumerate(total):
        by_group = {} if near is None else {id(near[0]): near[1][row]}
        single: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for piece, weight in zip(pieces, weights[row], strict=True):
            if isinstance(piece, Grouped):
                by_group[id(piece.group)] = by_group.get(id(piece.group), np.float32(0)) + weight * piece.values[row]
            elif isinstance(piece, Sparse) and weight:
                low, high = piece.indptr[row], piece.indptr[row + 1]
                _, before = single.get(id(piece.indices), (piece.indices, np.float32(0)))
                single[id(piece.indices)] = piece.indices[low:high], before + weight * piece.data[low:high]
        by_kind = sum(by_group[id(group)][of_kind] for group, of_kind in kinds.groups if id(group) in by_group)
        if by_group:
            scores += np.asarray(by_kind, np.float32)[kinds.of_item]
        for items, values in single.values():
            scores[items] += values


def static_score(pieces: Sequence[Piece], weights: np.ndarray, size: int) -> np.ndarray:
    """What the parts that are the same for every history add up to: float32 [N]."""
    total = np.zeros(size, np.float32)
    for piece, weight in zip(pieces, weights, strict=True):
        if isinstance(piece, Static) and weight:
            total += weight * piece.values
    return total


def cosines(profiles: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """profiles @ vectorsᵀ: float32 [n, M].

    The product of matrices first copies the vectors, which takes longer than multiplying a few profiles with them. Those take
    turns at a block of vectors that stays in the processor's cache.
    """
    if len(profiles) > FEW:
        return profiles @ vectors.T
    out = np.empty((len(profiles), len(vectors)), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, start + BLOCK)
        for row, profile in zip(out, profiles, strict=True):
            np.dot(vectors[block], profile, out=row[block])
    return out
