"""The ranker's evidence, part by part: each says in one number what one kind of behaviour or text tells.

Every part has a name, is 0 where it knows nothing about a history, and is linear in the final score, so a
recommendation can be explained by the very numbers that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_core.base_model.pieces import Grouped, Kinds, Piece, Projected, Static
from recsys_core.base_model.sparse import Sparse, starts
from recsys_core.interactions import SECONDS_PER_DAY, Catalogue, Histories

if TYPE_CHECKING:  # the ranker is made of these parts
    from recsys_core.base_model.ranker import RankerConfig

PARTS = {
    "popularity": "log(events + 0.5)",
    "bestseller": "log(1 + events / mean events): bends the line above for the head",
    "trend": "log of recent share over all-time share",
    "repeat": "1 if the item is in the history",
    "repeat_times": "log(times)",
    "repeat_popularity": "repeat × popularity",
    "repeat_recency_days": "log of the share of those times left after decay by days",
    "repeat_recency_steps": "Σ decay^steps",
    "repeat_last_step": "1 if in the newest step",
    "repeat_habit": "repeat × the share of repeats in this history",
    "transitions": "log(1 + what followed these items before / ε)",
    "text_transitions": "the same between texts, smoothed over similar texts",
    "text_profile": "cosine to the recency-weighted mean vector of the history",
    "text_last": "cosine to the mean vector of the newest step",
    "repeat_transitions": "repeat × transitions",
    "repeat_text_profile": "repeat × text_profile",
    "companions": "log(1 + how much the shoppers of the history's items share with the item's / ε)",
    "repeat_companions": "repeat × companions",
    "brand": "log of the history's preference for the brand over its overall share",
    "category": "the same for the category",
}
LOG_FLOOR = np.float32(np.log(1.05))
PART_NAMES = tuple(PARTS)


@dataclass(frozen=True)
class Counts:
    """All that is learned from events, besides the weights.

    Args:
        popularity: float32 [N], events per item.
        recent: float32 [N], the same with exponential decay.
        newest: timestamp of the newest event, seconds.
        transitions: [N, N].
        text_transitions: [M, M].
        companions: [N, N].
    """

    popularity: np.ndarray
    recent: np.ndarray
    newest: int
    transitions: Sparse
    text_transitions: Sparse
    companions: Sparse


    def grown(self, items: int, texts: int) -> Counts:
        """The same for so many items and texts: what is new was never taken."""
        more = np.zeros(items - len(self.popularity), np.float32)
        return Counts(np.concatenate([self.popularity, more]), np.concatenate([self.recent, more]), self.newest,
                      self.transitions.grown(items, items), self.text_transitions.grown(texts, texts),
                      self.companions.grown(items, items))


def group_codes(catalogue: Catalogue, column: str) -> np.ndarray:
    """intp [N]: the item's group by a column of the items table; 0 is "not known"."""
    if column not in catalogue.items.columns:
        return np.zeros(len(catalogue), np.intp)
    values = catalogue.items[column].to_list()
    code_of = {value: code for code, value in enumerate(sorted({value for value in values if value is not None}, key=str), 1)}
    return np.array([code_of.get(value, 0) for value in values], np.intp)


class Evidence:
    """Turns histories into parts, given the counts and the catalogue."""

    def __init__(self, counts: Counts, catalogue: Catalogue, config: RankerConfig) -> None:
        self.counts, self.catalogue, self.config = counts, catalogue, config
        self.groups = {name: group_codes(catalogue, name) for name in ("brand", "category")}
        self.group_share = {name: self._shares(codes) for name, codes in self.groups.items()}
        self.text_group = catalogue.text_of_item.astype(np.intp)
        self.kinds = Kinds.of([self.text_group, *self.groups.values()])
        self._last_trend: tuple[int | None, np.ndarray | None] = None, None
        self.log_popularity = np.log(counts.popularity + np.float32(0.5))
        mean = np.float32(max(counts.popularity.mean(), 1e-6)) if len(catalogue) else np.float32(1)
        self.log_bestseller = np.log1p(counts.popularity / mean)

    def _shares(self, codes: np.ndarray) -> np.ndarray:
        weight = np.bincount(codes, self.counts.popularity + 0.5) + 1e-6
        return (weight / weight.sum()).astype(np.float32)

    def pieces(self, histories: Histories,
               now: int | None) -> Iterator[tuple[str, Piece]]:
        """Every part by name, in the order of `PART_NAMES`, in its cheapest form."""
        rows = np.repeat(np.arange(len(histories)), histories.indptr[1:] - histories.indptr[:-1])
        yield "popularity", Static(self.log_popularity)
        yield "bestseller", Static(self.log_bestseller)
        yield "trend", Static(self._trend(now))
        repeats = list(self._repeats(histories, rows))
        yield from repeats
        known = repeats[0][1]
        following = self._following(histories, rows)
        yield "transitions", following
        yield "text_transitions", self._text_following(histories, rows)
        texts = list(self._texts(histories, rows))
        yield from texts
        yield "repeat_transitions", known.where(following)
        similar = texts[0][1]
        yield "repeat_text_profile", known.like(similar.pairs(known.rows(), known.indices))
        shared = known.times(self.counts.companions)
        companions = shared.like(np.log1p(shared.data / np.float32(self.config.companion_epsilon)))
        yield "companions", companions
        yield "repeat_companions", known.where(companions)
        for name, codes in self.groups.items():
            yield name, Grouped(self._preference(histories, rows, name), codes)

    def _trend(self, now: int | None) -> np.ndarray:
        """Log of an item's recent share over its overall share; fades as the newest event ages."""
        counts, config, (last, values) = self.counts, self.config, self._last_trend
        if values is not None and last == now:
            return values
        stale = 0.0 if now is None else max(now - counts.newest, 0) / SECONDS_PER_DAY
        fresh = counts.recent * np.float32(np.exp2(-stale / config.trend_half_life_days))
        pseudo = np.float32(config.trend_pseudo_events)
        expected = counts.popularity * (fresh.sum() / max(counts.popularity.sum(), np.float32(1)))
        values = np.log((fresh + pseudo) / (expected + pseudo)).astype(np.float32)
        self._last_trend = now, values  # one assignment: threads see an old pair or a new one
        return values

    def _repeats(self, histories: Histories, rows: np.ndarray) -> Iterator[tuple[str, Sparse]]:
        config, size = self.config, len(self.catalogue)
        key, inverse, times = np.unique(rows * size + histories.items, return_inverse=True, return_counts=True)
        distinct = np.bincount(key // size, minlength=len(histories))
        indptr, items = starts(distinct), key % size

        def like(data: np.ndarray) -> Sparse:
            return Sparse(indptr, items, data.astype(np.float32), size)

        def gather(weight: np.ndarray) -> np.ndarray:
            return np.bincount(inverse, weight, len(key))

        by_days = gather(np.exp2(-histories.days_ago / config.repeat_half_life_days))
        events = np.maximum(histories.indptr[1:] - histories.indptr[:-1], 1)
        yield "repeat", like(np.ones(len(key)))
        yield "repeat_times", like(np.log(times))
        yield "repeat_popularity", like(self.log_popularity[items])
        yield "repeat_recency_days", like(np.log(by_days / times + 0.05) - LOG_FLOOR)
        yield "repeat_recency_steps", like(gather(config.repeat_decay ** histories.steps_ago))
        yield "repeat_last_step", like(gather(histories.steps_ago == 0) > 0)
        yield "repeat_habit", like(np.repeat(1.0 - distinct / events, distinct))

    def _followed(self, histories: Histories, rows: np.ndarray, column: np.ndarray, size: int) -> Sparse:
        """[n, size]: the newest steps of each history by column [events], older ones weighing less."""
        weight = np.float32(self.config.follow_decay) ** histories.steps_ago
        kept = weight > 1e-3
        return Sparse.summed(rows[kept], column[kept], weight[kept], (len(histories), size))

    def _following(self, histories: Histories, rows: np.ndarray) -> Sparse:
        following = self._followed(histories, rows, histories.items, len(self.catalogue)).times(self.counts.transitions)
        return following.like(np.log1p(following.data / np.float32(self.config.follow_epsilon)))

    def _text_following(self, histories: Histories, rows: np.ndarray) -> Grouped:
        texts = self._followed(histories, rows, self.catalogue.text_of_item[histories.items], len(self.catalogue.vectors))
        between = texts.times(self.counts.text_transitions).dense()
        return Grouped(np.log1p(between / np.float32(self.config.text_follow_epsilon)), self.text_group)

    def _texts(self, histories: Histories, rows: np.ndarray) -> Iterator[tuple[str, Projected]]:
        size, profiles = (len(histories), len(self.catalogue.vectors)), []
        for weight in (np.float32(self.config.profile_decay) ** histories.steps_ago,
                       (histories.steps_ago == 0).astype(np.float32)):
            kept = weight > 1e-3
            texts = self.catalogue.text_of_item[histories.items[kept]]
            profile = Sparse.summed(rows[kept], texts, weight[kept], size).onto(self.catalogue.vectors)
            profiles.append(profile / np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), np.float32(1e-9)))
        for name, profile in zip(("text_profile", "text_last"), profiles, strict=True):
            yield name, Projected(profile, self.catalogue.vectors, self.text_group)

    def _preference(self, histories: Histories, rows: np.ndarray, name: str) -> np.ndarray:
        """log((count + κ·share) / ((total + κ)·share)) per group: 0 for an empty history."""
        codes, share = self.groups[name], self.group_share[name]
        weight = np.float32(self.config.preference_decay) ** histories.steps_ago
        group = codes[histories.items]
        known = group > 0
        shape = len(histories), len(share)
        taken = np.bincount(rows[known] * shape[1] + group[known], weight[known], shape[0] * shape[1]).astype(np.float32)
        taken = taken.reshape(shape)
        pseudo = np.float32(self.config.preference_pseudo_events)
        base = pseudo * share
        values = np.log((taken + base) / (base + taken.sum(axis=1, keepdims=True) * share))
        values[:, 0] = 0.0
        return values.astype(np.float32)
