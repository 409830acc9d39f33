"""From the scores of documents to the best items, without looking at every item.

An item's score is its document's, which the query decides, plus what stands without the query. So an item can be no better than
its document's score plus the most that stands for any item of it: the best documents by this bound hold the best items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys_core.metrics import top_rows

WIDER = 8  # times as many documents where the best so far held too few items that may be answered


class Grouping:
    """Which members a group has: the items of each document, the documents of each text.

    Args:
        group: int32 [N], of each member.
        size: G groups; one may have no members.
    """

    def __init__(self, group: np.ndarray, size: int) -> None:
        self.rows = np.argsort(group, kind="stable").astype(np.int32)
        self.starts = np.r_[0, np.cumsum(np.bincount(group, minlength=size))].astype(np.int64)
        self.sizes = np.diff(self.starts)
        self._filled = np.flatnonzero(self.sizes)

    def of(self, groups: np.ndarray) -> np.ndarray:
        """int32: the members of some groups, int [m], group by group."""
        starts, lengths = self.starts[groups], self.sizes[groups]
        return self.rows[np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())]

    def most(self, values: np.ndarray) -> np.ndarray:
        """The largest of the values [N] of each group's members: float32 [G], −inf where it has none."""
        found = np.full(len(self.starts) - 1, -np.inf, np.float32)
        if len(self._filled):
            found[self._filled] = np.maximum.reduceat(values[self.rows], self.starts[self._filled])
        return found


@dataclass(frozen=True)
class Standing:
    """What a search adds up to before its query is read; shared by all queries that ask alike.

    Args:
        items: float32 [N].
        documents: float32 [D], the most of each document's items.
    """

    items: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, items_of: Grouping) -> Standing:
        """From the values of every item, float32 [N]."""
        return cls(values, items_of.most(values))


def best_items(scores: np.ndarray, documents: np.ndarray | None, standing: Standing, items_of: Grouping, k: int,
               ties: np.ndarray, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k best items by their document's score plus what stands; exactly those that scoring every item would find.

    Args:
        scores: float32 [m], what the query says of documents.
        documents: int [m], which; None: all D, in order. Items of others are not answered.
        standing: what is added per item.
        items_of: the catalogue's.
        k: length of the list.
        ties: int32 [N], see `metrics.tie_ranks`.
        allowed: bool [N], the only items that may be answered; None: every one.

    Returns:
        rows int [≤ k], best first, and their scores float32 [≤ k].
    """
    bounds = scores + (standing.documents if documents is None else standing.documents[documents])
    take = k
    while True:
        whole = take >= len(bounds)
        least = -np.inf if whole else np.partition(bounds, len(bounds) - take)[len(bounds) - take]
        places = np.flatnonzero(bounds >= least)
        chosen = places if documents is None else documents[places]
        rows = items_of.of(chosen)
        score_of = np.repeat(scores[places], items_of.sizes[chosen])
        if allowed is not None:
            kept = allowed[rows]
            rows, score_of = rows[kept], score_of[kept]
        values = score_of + standing.items[rows]
        top = top_rows(values, k, ties[rows])
        # What is not looked at is worse than `least`.
        if whole or (len(top) == k and values[top[-1]] >= least):
            return rows[top], values[top]
        take *= WIDER
