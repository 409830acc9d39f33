"""Many segments of the embedded shop at once: parts of the category path, their shots, and baskets to ask afterwards."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks.adaptations.shots import ShotConfig, Shots, draw_shots, is_support_user, take_queries
from benchmarks.rankings.journey import fit_before, open_journey
from recsys_core.adaptation import Prior, prepare
from recsys_core.base_model import Ranker, make_lock
from recsys_core.interactions import (
    SECONDS_PER_DAY,
    Catalogue,
    Interactions,
    Queries,
    make_queries,
)
from recsys_core.text_encoder import EncoderConfig, TextEncoder, load_encoder

log = logging.getLogger(__name__)

SUPPORT_DAYS, ASKED_DAYS = 28, 14
MIN_TEXTS = 2  # with one text there is nothing to tell apart


@dataclass(frozen=True)
class SegmentStudy:
    """S segments with K shots each, and the base as it was before the first shot.

    Args:
        ranker, prior: fitted before the cut-off. items: segment → catalogue rows int64 [n], ascending.
        shots: segment → its K shots, by shoppers who are never asked. questions: baskets of the two weeks after
            the shots by all other shoppers, with all their targets; the base scores each once for all segments.
    """

    catalogue: Catalogue
    encoder: TextEncoder
    ranker: Ranker
    prior: Prior
    items: dict[str, np.ndarray]
    shots: dict[str, Shots]
    questions: Queries

    @cached_property
    def _query_of_target(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.questions)), np.diff(self.questions.target_indptr))

    def asked(self, segment: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a segment is asked: rows int64 [n] of `questions` with a target in it, target_indptr, targets.

        Targets are positions in `items[segment]`: `ranking_metrics(scores[rows][:, items], indptr, targets)`
        is the ranking within the segment.
        """
        items, targets = self.items[segment], self.questions.targets
        inside = np.isin(targets, items)
        rows, counts = np.unique(self._query_of_target[inside], return_counts=True)
        return rows, np.r_[0, np.cumsum(counts)].astype(np.int64), np.searchsorted(items, targets[inside])


def prepare_segments(n: int = 256, k: int = 64, seed: int = 0, questions: int = 10_000) -> SegmentStudy:
    """The n parts of the category path with most purchases among those with k shots and two texts.

    The base is fitted on all but the last six weeks, shots are drawn from the next four (at most ⌈k/8⌉ per
    shopper), questions from the last two. Parts with the same items as another count once.

    Args:
        k: shots per segment. questions: baskets asked at most.
    """
    encoder, journey = load_encoder(EncoderConfig(device="cpu")), open_journey()
    catalogue, events = journey.catalogue, journey.events
    end = int(events.timestamp.max()) + 1
    asked_from = int(end - ASKED_DAYS * SECONDS_PER_DAY)
    cutoff = int(asked_from - SUPPORT_DAYS * SECONDS_PER_DAY)
    support = is_support_user(events.user_ids, ShotConfig().support_users, seed)
    ranker = fit_before(journey, cutoff)
    inside = support[events.user] & (events.timestamp >= cutoff) & (events.timestamp < asked_from)
    items, rows = _choose(catalogue, events.where(inside), ranker.counts.popularity, n, ShotConfig(k=k, seed=seed))
    shots = _with_histories(events.where(support[events.user]), rows, cutoff, asked_from)
    log.info("%d segments with %d shots each", len(items), k)
    return SegmentStudy(
        catalogue, encoder, ranker, prepare(catalogue, ranker.counts.popularity, make_lock(encoder, ranker.part_names)),
        items, shots, make_queries(events.where(~support[events.user]), asked_from, end, max_queries=questions,
                                   rng=np.random.default_rng([seed, 1])))


def _choose(catalogue: Catalogue, support: Interactions, purchases: np.ndarray, n: int, config: ShotConfig
            ) -> tuple[dict[str, np.ndarray], dict[str, Shots]]:
    """The segments' items and drawn shots (these with no history but the support window's).

    Args:
        support: the events shots may be drawn from. purchases: float [N], before the cut-off.
    """
    items: dict[str, np.ndarray] = {}
    for name, codes, values in catalogue.groups:
        if name.startswith("category"):
            order = np.argsort(codes, kind="stable")
            bounds = np.searchsorted(codes[order], np.arange(len(values) + 1))
            items |= {f"{name}|{value}": order[bounds[code]:bounds[code + 1]] for code, value in enumerate(values)}
    by_size = sorted(items, key=lambda name: (-purchases[items[name]].sum(), name))
    kept: dict[str, np.ndarray] = {}
    drawn: dict[str, Shots] = {}
    known = set()
    for name in by_size:
        rows = items[name]
        if rows.tobytes() in known or len(np.unique(catalogue.text_of_item[rows])) < MIN_TEXTS:
            continue
        member = np.zeros(len(catalogue), bool)
        member[rows] = True
        shots = draw_shots(support, 0, 2**40, member[support.item], config,
                           np.random.default_rng([config.seed, len(kept)]))
        if len(shots) == config.k:
            known.add(rows.tobytes())
            kept[name], drawn[name] = rows, shots
        if len(kept) == n:
            break
    return kept, drawn


def _with_histories(events: Interactions, drawn: dict[str, Shots], start: int, end: int) -> dict[str, Shots]:
    """The same shots with their shoppers' whole histories, cut out once for all segments."""
    steps = make_queries(events, start, end)
    key = steps.user.astype(np.int64) << 40 | steps.timestamp
    order = np.argsort(key)
    found = {}
    for name, shots in drawn.items():
        own = shots.queries.user.astype(np.int64) << 40 | shots.queries.timestamp
        at = order[np.searchsorted(key, own, sorter=order)]
        found[name] = replace(shots, queries=take_queries(steps, at, shots.items))
    return found
