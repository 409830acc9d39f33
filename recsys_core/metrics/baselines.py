"""The trivial recommenders every model has to beat, in their strong forms, behind one contract.

Each `fit_*` counts over training events only and returns an object whose
`score(histories) -> float32 [n, N]` ranks the full catalogue; scores are finite, higher is better,
equal scores are true ties (the metrics take them at expected rank), inputs are never changed, and an
empty history gets an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from pydantic import BaseModel, Field

from recsys_core.errors import DataError
from recsys_core.interactions import Histories, Interactions

BLOCK_ROWS = 1024  # rows of the item-item product held at once


def _count_items(items: np.ndarray, n_items: int) -> np.ndarray:
    """float64 [N]: how often each item occurs."""
    if len(items) and items.max() >= n_items:
        raise DataError("baseline", f"item row {items.max()} in a catalogue of {n_items} items",
                        "number the events with the same catalogue")
    return np.bincount(items, minlength=n_items).astype(np.float64)


def history_matrix(histories: Histories, n_items: int, newest_step_only: bool = False) -> sp.csr_array:
    """float32 [n, N], how often each item occurs in each history (or in its newest step)."""
    row = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
    keep = histories.steps_ago == 0 if newest_step_only else np.ones(len(row), bool)
    counts = sp.csr_array((np.ones(int(keep.sum()), np.float32), (row[keep], histories.items[keep])),
                          shape=(len(histories), n_items))
    counts.sum_duplicates()
    return counts


@dataclass(frozen=True)
class Popularity:
    """The same list for everybody.

    Args:
        counts: float64 [N] of whichever events were counted.
    """

    counts: np.ndarray

    def score(self, histories: Histories) -> np.ndarray:
        return np.tile(self.counts.astype(np.float32), (len(histories), 1))


def fit_popularity(train: Interactions, n_items: int) -> Popularity:
    """Count all training events."""
    return Popularity(_count_items(train.item, n_items))


@dataclass(frozen=True)
class PersonalFrequency:
    """How often this shopper took the item; popularity (scaled below one event) breaks the ties."""

    tie_break: np.ndarray  # float32 [N], in [0, 1)

    def score(self, histories: Histories) -> np.ndarray:
        scores = np.tile(self.tie_break, (len(histories), 1))
        counts = history_matrix(histories, len(self.tie_break)).tocoo()
        scores[counts.row, counts.col] += counts.data
        return scores


def fit_personal_frequency(train: Interactions, n_items: int) -> PersonalFrequency:
    """Personal frequency needs only the popularity that breaks its ties."""
    counts = _count_items(train.item, n_items)
    return PersonalFrequency((counts / (counts.max(initial=0) + 1)).astype(np.float32))


class ItemKnnConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of the item-to-item baseline."""

    neighbours: int = Field(100, ge=1, description="neighbours kept per item; ties at the border all stay")
    shrinkage: float = Field(
        10.0, ge=0, description="added to the cosine's denominator, so that rare pairs count less")
    newest_events: int = Field(500, ge=2, description="events kept per user, so that no bot costs its square")


@dataclass(frozen=True)
class ItemKnn:
    """Sum of the similarities to the items of the history (or of its newest step).

    Args:
        similarity: float32 sparse [N, N], row j holds the neighbours of history item j.
        newest_step_only: whether only the newest step's items count.
    """

    similarity: sp.csr_array
    newest_step_only: bool = False

    def score(self, histories: Histories) -> np.ndarray:
        held = history_matrix(histories, self.similarity.shape[0], self.newest_step_only)
        held.data[:] = 1.0
        return (held @ self.similarity).toarray().astype(np.float32, copy=False)

    def on_newest_step(self) -> ItemKnn:
        """The last-item recommender with the same neighbours."""
        return replace(self, newest_step_only=True)


def _items_of_users(train: Interactions, n_items: int, config: ItemKnnConfig) -> sp.csr_array:
    """0/1 float32 [users, N]: which items occur among a user's newest events."""
    edge = np.r_[True, train.user[1:] != train.user[:-1]][:len(train)]
    ends = np.r_[np.flatnonzero(edge)[1:], len(train)]
    left = np.repeat(ends, np.diff(np.r_[0, ends])) - np.arange(len(train))  # 1 for a user's newest
    user, item = train.user[left <= config.newest_events], train.item[left <= config.newest_events]
    held = sp.csr_array((np.ones(len(user), np.float32), (user, item)),
                        shape=(int(user.max(initial=-1)) + 1, n_items))
    held.sum_duplicates()
    held.data[:] = 1.0
    return held


def fit_item_knn(train: Interactions, n_items: int, config: ItemKnnConfig | None = None) -> ItemKnn:
    """Cosine item-to-item neighbours (Sarwar et al. 2001), shrunk (Koren 2008).

    similarity(i, j) = |users with both| / (√(|i|·|j|) + shrinkage), an item is not its own neighbour.
    """
    config = config or ItemKnnConfig()
    _count_items(train.item, n_items)  # refuses items outside the catalogue
    held = _items_of_users(train, n_items, config)
    by_item = held.T.tocsr()
    norm = np.sqrt(np.diff(by_item.indptr)).astype(np.float32)
    columns, values, counts = [], [], np.zeros(n_items, np.int64)
    seen = np.flatnonzero(norm)
    for start in range(0, len(seen), BLOCK_ROWS):
        rows = seen[start:start + BLOCK_ROWS]
        both = by_item[rows] @ held
        for at, item in enumerate(rows):
            column = both.indices[both.indptr[at]:both.indptr[at + 1]]
            value = both.data[both.indptr[at]:both.indptr[at + 1]]
            value = value / (norm[item] * norm[column] + config.shrinkage)
            keep = column != item
            if keep.sum() > config.neighbours:
                keep &= value >= np.partition(value[keep], -config.neighbours)[-config.neighbours]
            columns.append(column[keep])
            values.append(value[keep])
            counts[item] = keep.sum()
    similarity = sp.csr_array(
        (np.concatenate(values) if values else np.zeros(0, np.float32),
         np.concatenate(columns) if columns else np.zeros(0, np.int32), np.r_[0, np.cumsum(counts)]),
        shape=(n_items, n_items))
    similarity.sort_indices()
    return ItemKnn(similarity)


def fit_last_item(train: Interactions, n_items: int, config: ItemKnnConfig | None = None) -> ItemKnn:
    """Neighbours of the newest step only: what goes with what was just taken."""
    return fit_item_knn(train, n_items, config).on_newest_step()


@dataclass(frozen=True)
class LikeRatio:
    """How often each user says yes to what is shown: a strong baseline for pooled AUC, none for UAUC."""

    ratios: np.ndarray  # float64 [U]
    base_rate: float

    def score(self, users: np.ndarray) -> np.ndarray:
        """float64 [n]: the probability of a positive; users never seen get the base rate."""
        known = (users >= 0) & (users < len(self.ratios))
        return np.append(self.ratios, self.base_rate)[np.where(known, users, len(self.ratios))]


def fit_like_ratio(users: np.ndarray, labels: np.ndarray, prior_rows: float = 20.0) -> LikeRatio:
    """Each user's share of positives, shrunk to the base rate as if by `prior_rows` average exposures.

    Args:
        users: int [n] ≥ 0.
        labels: [n] of 0/1.
        prior_rows: rows that the overall rate counts for in each user's ratio.
    """
    if not len(labels):
        raise DataError("like ratio", "no exposures to count", "fit it only for shops with impressions")
    base_rate = float(np.mean(labels))
    positives, rows = np.bincount(users, labels), np.bincount(users)
    return LikeRatio((positives + prior_rows * base_rate) / (rows + prior_rows), base_rate)
