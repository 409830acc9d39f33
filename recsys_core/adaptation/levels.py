"""Shots as rows, and what one level of groups makes of them.

A stage's strength m is chosen elsewhere: per segment (`closed_form.adapt_closed_form`), pooled over a family's
members (`closed_form.choose_strengths`), or before (`closed_form.solve`). The arithmetic is the same, and is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.adaptation.cells import Cells
from recsys_core.errors import AdapterError

FEW = 32  # shots that are compared pairwise: faster than sorting them


@dataclass(frozen=True)
class Rows:
    """The shots of S segments one after the other, T rows in all.

    Args:
        segment: int [T] in [0, S), ascending.
        item: int [T].
        user: int [T], a number of its own in every segment; None where nobody is left out.
        weight: float64 [T], how many shots a row stands for, and then a segment's items are distinct; None: one each.
    """

    segments: int
    segment: np.ndarray
    item: np.ndarray
    user: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def users(self) -> np.ndarray:
        """int [T]: `user`, for whoever leaves one user out.

        Raises:
            AdapterError: the rows are counts, which do not say whose they are.
        """
        if self.user is None:
            raise AdapterError("shots", "counts do not say whose they are", "stack supports instead of counts")
        return self.user


@dataclass(frozen=True)
class Values:
    """What a stage found: of segment[j] the member[j] (a group's code or an item) gets value[j]; strength [S], NaN: none."""

    segment: np.ndarray
    member: np.ndarray
    value: np.ndarray
    strength: np.ndarray

    @classmethod
    def of_none(cls, strength: np.ndarray) -> Values:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), strength)


def base_shares(cells: Cells, item_share: np.ndarray, shares: Sequence[np.ndarray | None], segment: np.ndarray,
                item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The base's share of every cell, float32 [S, U], and of each row's item, float64 [T].

    Args:
        item_share: float64 [N], the base's popularity.
        shares: per segment float64 [N], what replaces it; None: nothing.
        segment: int [T], of each row.
        item: int [T], of each row.
    """
    of_cell, expected = np.empty((len(shares), len(cells.share)), np.float32), item_share[item]
    for s, share in enumerate(shares):
        if share is None:
            of_cell[s] = cells.share
        else:
            of_cell[s] = np.bincount(cells.of_item, share, len(cells.share))
            own = segment == s
            expected[own] = share[item[own]]
    return of_cell, expected


def group_mass(q: np.ndarray, cells: Cells, level: int, size: int) -> np.ndarray:
    """The share of every group of a level, float64 [S, size], rows sum to 1.

    Args:
        q: float32 [S, U], the cells' share so far.
        size: groups of the level.
    """
    order, groups, starts = cells.runs[level]
    mass = np.zeros((len(q), size + 1))
    mass[:, groups + 1] = np.add.reduceat(q[:, order], starts, axis=1)
    mass = mass[:, 1:] + 1e-12
    mass /= mass.sum(axis=1, keepdims=True)
    return mass


def prior_gains(rows: Rows, member: np.ndarray, expected: np.ndarray, priors: np.ndarray | Sequence[float]
                ) -> np.ndarray:
    """What each prior weight m gains over m = ∞ when other users' shots predict each user's: nats, float64 [M, S].

    Args:
        member: int [T], the group (or item) of each shot, −1 for none.
        expected: float64 [T], its share under q.
        priors: float [M], or [M, S] where segments differ.
    """
    known = member >= 0
    segment, user, member, expected = rows.segment[known], rows.users[known], member[known].astype(np.int64), expected[known]
    width = int(member.max(initial=0)) + 1
    shots = np.bincount(segment, minlength=rows.segments)
    left = _size_of_group(segment * width + member) - _size_of_group(user * width + member)
    size = shots[segment] - np.bincount(user)[user]
    m = np.asarray(priors)
    m = m[:, None] if m.ndim == 1 else m[:, segment]
    each = np.log((left + m * expected) / ((size + m) * expected))
    return np.array([np.bincount(segment, row, rows.segments) for row in each])


def _size_of_group(key: np.ndarray) -> np.ndarray:
    """int [T]: how often each key occurs."""
    if len(key) <= FEW:
        return (key[:, None] == key).sum(axis=1)
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[inverse]


def tilt_level(rows: Rows, q: np.ndarray, mass: np.ndarray, codes: np.ndarray, member: np.ndarray, strength: np.ndarray
               ) -> tuple[Values, np.ndarray, np.ndarray]:
    """One level of groups, on what the levels before it left over: g = log((c + m q) / ((K + m) q)).

    Args:
        q: float32 [S, U], the cells' share so far.
        mass: its `group_mass`.
        codes: int32 [U], the cells' groups.
        member: int [T], each row's group.
        strength: float64 [S], m; NaN where the level is left out.

    Returns:
        the groups with shots; the offset of all others float64 [S] (0 where the level is left out); the new q.
    """
    if np.isnan(strength).all():  # the level says nothing of any segment: few shots mostly stop here
        return Values.of_none(strength), np.zeros(rows.segments), q
    known = member >= 0
    shots = np.bincount(rows.segment[known], None if rows.weight is None else rows.weight[known], rows.segments)
    segment, code, count = _count(rows, member, strength)
    m, n = strength[segment], shots[segment]
    share = mass[segment, code]
    value = np.log((count + m * share) / ((n + m) * share))
    rest = np.nan_to_num(np.log(strength / (shots + strength)))
    factor = np.repeat(np.exp(rest)[:, None], mass.shape[1] + 1, axis=1).astype(np.float32)
    factor[:, 0] = 1.0
    factor[segment, code + 1] = np.exp(value)
    q = q * factor[:, codes + 1]
    return Values(segment, code, value, strength), rest, q / q.sum(axis=1, keepdims=True)


def _count(rows: Rows, member: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(segment, member, number of shots) of every pair that occurs, in the segments that have a strength."""
    kept = (member >= 0) & np.isfinite(strength)[rows.segment]
    width = int(member.max(initial=0)) + 1
    key = rows.segment[kept] * width + member[kept]
    if rows.weight is None:
        key, count = np.unique(key, return_counts=True)
    else:
        sums = np.bincount(key, rows.weight[kept])
        key = np.flatnonzero(sums)
        count = sums[key]
    return key // width, key % width, count
