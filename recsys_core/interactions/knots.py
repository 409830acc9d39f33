"""How much is known of a shopper, and weights that depend on it.

A shopper of whom two steps are known needs other weights than one of whom a hundred are. Weights are given at a few
numbers of known steps, the *knots*, and are linear in log2(1 + steps) between them: still additive, still one solve.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from recsys_core.interactions.arrays import Histories, Queries

KNOTS = (0, 1, 2, 4, 8, 16, 64)  # known steps; from the last one on nothing changes
_PLACES = np.log2(1.0 + np.array(KNOTS))

Audience = Literal["none", "little", "full"]
LITTLE = (1, 2, 4)  # known steps dealt to the questions of the audience "little", in turns
MOST_LITTLE = LITTLE[-1]


def audience_of(steps: int) -> Audience:
    """Which audience a shopper of so many known steps belongs to.

    >>> [audience_of(steps) for steps in (0, 1, 4, 5)]
    ['none', 'little', 'little', 'full']
    """
    return "none" if steps <= 0 else "little" if steps <= MOST_LITTLE else "full"


def known_steps(histories: Histories) -> np.ndarray:
    """int64 [n]: how many steps each history holds.

    >>> past = Histories(np.array([0, 3, 3]), np.array([7, 8, 9]), np.array([1., 1., 0.]), *[np.zeros(3)] * 2)
    >>> known_steps(past).tolist()
    [2, 0]
    """
    steps = np.zeros(len(histories), np.int64)
    filled = np.flatnonzero(np.diff(histories.indptr))
    if len(filled):
        steps[filled] = np.maximum.reduceat(histories.steps_ago, histories.indptr[filled]).astype(np.int64) + 1
    return steps


def knot_shares(steps: np.ndarray) -> np.ndarray:
    """float32 [n, knots]: how much each knot counts at so many known steps; rows sum to 1.

    >>> [round(share, 2) for share in knot_shares(np.array([0, 3]))[1].tolist()]
    [0.0, 0.0, 0.44, 0.56, 0.0, 0.0, 0.0]
    """
    place = np.log2(1.0 + np.minimum(steps, KNOTS[-1]))
    left = np.minimum(np.searchsorted(_PLACES, place, side="right") - 1, len(KNOTS) - 2)
    share = (place - _PLACES[left]) / (_PLACES[left + 1] - _PLACES[left])
    shares, rows = np.zeros((len(place), len(KNOTS)), np.float32), np.arange(len(place))
    shares[rows, left], shares[rows, left + 1] = 1 - share, share
    return shares


def for_audience(queries: Queries, audience: Audience) -> Queries:
    """The same questions with what a request of this audience knows of its shopper."""
    if audience == "full":
        return queries
    return cut_histories(queries, 0 if audience == "none" else np.resize(LITTLE, len(queries)))


def cut_histories(queries: Queries, steps: int | np.ndarray) -> Queries:
    """The same questions with no more than the newest `steps` steps known: one number, or one per question."""
    past = queries.histories
    limit = np.repeat(np.broadcast_to(steps, len(queries)), np.diff(past.indptr))
    kept = past.steps_ago < limit
    indptr = np.r_[0, np.cumsum(kept)][past.indptr].astype(np.int64)
    return replace(queries, histories=Histories(indptr, past.items[kept], past.steps_ago[kept], past.days_ago[kept],
                                                past.event_type[kept]))
