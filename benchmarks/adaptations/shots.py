"""The shots of the timings: labelled events with the history before them, by shoppers who are never asked.

At most ceil(K/8) come from one shopper, so that no heavy shopper speaks for the whole segment.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.interactions import Histories, Interactions, Queries, make_queries


class ShotConfig(BaseModel, frozen=True, extra="forbid"):
    """How shots are drawn."""

    k: int = Field(256, ge=1, description="most shots per segment")
    support_users: float = Field(0.4, gt=0, lt=1, description="share of users who give shots, not queries")
    seed: int = 0


@dataclass(frozen=True)
class Shots:
    """K shots: `queries` has one query per shot, with exactly one target each.

    Args:
        queries: K queries with the history before each shot. items: int32 [K] catalogue rows.
        users: int32 [K]. rows: int64 [K], rows of the interactions table (their identity).
    """

    queries: Queries
    items: np.ndarray
    users: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.items)


def is_support_user(user_ids: list[str], share: float, seed: int = 0) -> np.ndarray:
    """bool [U]: a user's side of the support/query split, from a hash of the id, so that it never moves."""
    limit = int(share * 2**32)
    return np.array([int.from_bytes(hashlib.sha256(f"{seed}:{u}".encode()).digest()[:4], "little") < limit
                     for u in user_ids], dtype=bool)


def per_user(k: int) -> int:
    """Most shots of one user among K."""
    return math.ceil(k / 8)


def nth_occurrence(values: np.ndarray) -> np.ndarray:
    """int64 [n]: how many earlier entries have the same value.

    >>> nth_occurrence(np.array([7, 7, 3, 7])).tolist()
    [0, 1, 0, 2]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]] if len(values) else np.zeros(0, bool)
    nth = np.empty(len(values), np.int64)
    nth[order] = np.arange(len(values)) - np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
    return nth


def draw_shots(interactions: Interactions, start: int, end: int, member: np.ndarray, config: ShotConfig,
               rng: np.random.Generator, users: np.ndarray | None = None) -> Shots:
    """Draw at most K shots from [start, end), every event as likely as the others.

    Args:
        interactions: all events; histories are cut from them.
        member: bool [E], the events that may be shots (a segment's own, or a placebo's).
        users: bool [U] who may give shots; None for everybody (the adapter that ships).
    """
    pool = member & (interactions.timestamp >= start) & (interactions.timestamp < end)
    rows = rng.permutation(np.flatnonzero(pool if users is None else pool & users[interactions.user]))
    chosen = np.sort(rows[nth_occurrence(interactions.user[rows]) < per_user(config.k)][:config.k])
    return shots_from_rows(interactions, chosen)


def shots_from_rows(interactions: Interactions, chosen: np.ndarray) -> Shots:
    """Shots from positions [K] in `interactions` (ascending), each with its own history."""
    wanted = np.zeros(len(interactions), bool)
    wanted[chosen] = True
    low, high = (interactions.timestamp[chosen].min(), interactions.timestamp[chosen].max() + 1) \
        if len(chosen) else (0, 0)
    queries = make_queries(interactions, int(low), int(high), target=wanted)
    # One query per step; expand to one per shot so that every shot carries its own label.
    steps = np.stack([queries.user, queries.timestamp]) if len(queries) else np.zeros((2, 0), np.int64)
    key = {(int(u), int(t)): i for i, (u, t) in enumerate(steps.T)}
    step_of = np.array([key[(int(interactions.user[r]), int(interactions.timestamp[r]))] for r in chosen], np.int64)
    return Shots(take_queries(queries, step_of, interactions.item[chosen]), interactions.item[chosen],
                 interactions.user[chosen], interactions.row[chosen])


def take_queries(queries: Queries, rows: np.ndarray, targets: np.ndarray) -> Queries:
    """The queries at `rows` [K] (repeats allowed), each with the single target given."""
    h = queries.histories
    lengths = (h.indptr[1:] - h.indptr[:-1])[rows]
    indptr = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    at = np.repeat(h.indptr[:-1][rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
    histories = Histories(indptr, h.items[at], h.steps_ago[at], h.days_ago[at], h.event_type[at])
    return Queries(queries.user[rows], queries.timestamp[rows], histories,
                   np.arange(len(rows) + 1, dtype=np.int64), np.asarray(targets, np.int32))
