"""From the scores of texts to the best items, without looking at every item.

An item's score is its text's, which the query decides, plus what stands without the query. So an item can be no better than
its text's score plus the most that stands for any item of that text: the best texts by this bound hold the best items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys_core.metrics import top_rows

WIDER = 8  # times as many texts where the best so far held too few items that may be answered


class ItemsOfTexts:
    """Which items share a text.

    Args:
        text_of_item: int32 [N].
        n_texts: M; a text may have no items.
    """

    def __init__(self, text_of_item: np.ndarray, n_texts: int) -> None:
        self.text_of_item = text_of_item
        self.rows = np.argsort(text_of_item, kind="stable").astype(np.int32)
        self.starts = np.r_[0, np.cumsum(np.bincount(text_of_item, minlength=n_texts))].astype(np.int64)
        self.sizes = np.diff(self.starts)
        self._filled = np.flatnonzero(self.sizes)

    def of(self, texts: np.ndarray) -> np.ndarray:
        """int32: the items of some texts, int [m], text by text."""
        starts, lengths = self.starts[texts], self.sizes[texts]
        return self.rows[np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())]

    def most(self, values: np.ndarray) -> np.ndarray:
        """The largest of the values [N] of each text's items: float32 [M], −inf where it has none."""
        found = np.full(len(self.starts) - 1, -np.inf, np.float32)
        if len(self._filled):
            found[self._filled] = np.maximum.reduceat(values[self.rows], self.starts[self._filled])
        return found


@dataclass(frozen=True)
class Standing:
    """What a search adds up to before its query is read; shared by all queries that ask alike.

    Args:
        items: float32 [N].
        texts: float32 [M], the most of each text's items.
    """

    items: np.ndarray
    texts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, items_of: ItemsOfTexts) -> Standing:
        """From the values of every item, float32 [N]."""
        return cls(values, items_of.most(values))


def best_items(scores: np.ndarray, texts: np.ndarray | None, standing: Standing, items_of: ItemsOfTexts, k: int,
               ties: np.ndarray, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k best items by their text's score plus what stands; exactly those that scoring every item would find.

    Args:
        scores: float32 [m], what the query says of texts.
        texts: int [m], which texts; None: all M, in order. Items of other texts are not answered.
        standing: what is added per item.
        items_of: the catalogue's.
        k: length of the list.
        ties: int32 [N], see `metrics.tie_ranks`.
        allowed: bool [N], the only items that may be answered; None: every one.

    Returns:
        rows int [≤ k], best first, and their scores float32 [≤ k].
    """
    bounds = scores + (standing.texts if texts is None else standing.texts[texts])
    take = k
    while True:
        whole = take >= len(bounds)
        least = -np.inf if whole else np.partition(bounds, len(bounds) - take)[len(bounds) - take]
        places = np.flatnonzero(bounds >= least)
        chosen = places if texts is None else texts[places]
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
