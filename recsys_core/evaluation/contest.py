"""Score several contestants on the same ranking questions, slice by slice.

Slices: `all` targets on the full catalogue; `repeat` targets (in the history) on the full
catalogue; `first_time` targets with the history's items left out of the ranking (the seen-mask);
`in_domain` all targets among the domain's items only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from recsys_core.base_model.data import Histories, Queries
from recsys_core.evaluation.metrics import expected_ranks, metrics_from_ranks, slice_targets, split_targets

SLICES = ("all", "repeat", "first_time", "in_domain")


class Scorer(Protocol):
    """Anything that ranks: float32 [n, N] from n histories; higher is better."""

    def score(self, histories: Histories) -> np.ndarray: ...


class TimedScorer(Protocol):
    """The base ranker: its popularity trends fade with the time since its newest event."""

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray: ...


Metrics = dict[str, np.ndarray]  # metric → float64 [n], NaN where the query has no such target
Contest = dict[str, dict[str, Metrics]]  # contestant → slice → its metrics


def run_contest(base: TimedScorer, queries: Queries, *, rivals: Mapping[str, Scorer] | None = None,
                offsets: Mapping[str, np.ndarray] | None = None, domain: np.ndarray | None = None,
                k: int = 10, chunk: int = 128) -> Contest:
    """Rank every query with every contestant.

    Args:
        base: the base ranker, reported as "base". rivals: other rankers, scored on their own.
        offsets: name → float32 [N] added to the base's scores (adapters).
        domain: bool [N]; where given, also rank within these items.

    Returns:
        contestant → slice → metric → float64 [n].
    """
    names = ["base", *(offsets or {}), *(rivals or {})]
    pieces: dict[str, list[dict[str, Metrics]]] = {name: [] for name in names}
    now = int(np.median(queries.timestamp)) if len(queries) else None
    for low in range(0, len(queries), chunk):
        part = _rows(queries, low, min(low + chunk, len(queries)))
        repeat = split_targets(part.target_indptr, part.targets, part.histories)
        scores = base.score(part.histories, now)
        pieces["base"].append(_slices(scores, part, repeat, domain, k))
        for name, offset in (offsets or {}).items():
            pieces[name].append(_slices(scores + offset, part, repeat, domain, k))
        for name, rival in (rivals or {}).items():
            pieces[name].append(_slices(rival.score(part.histories), part, repeat, domain, k))
    return {name: _concatenate(found) for name, found in pieces.items()}


def _rows(queries: Queries, low: int, high: int) -> Queries:
    first, last = queries.target_indptr[low], queries.target_indptr[high]
    return Queries(queries.user[low:high], queries.timestamp[low:high], queries.histories[low:high],
                   queries.target_indptr[low:high + 1] - first, queries.targets[first:last])


def _slices(scores: np.ndarray, queries: Queries, repeat: np.ndarray, domain: np.ndarray | None,
            k: int) -> dict[str, Metrics]:
    n, indptr, targets = len(queries), queries.target_indptr, queries.targets
    greater, tied = expected_ranks(scores, indptr, targets)
    found = {"all": metrics_from_ranks(greater, tied, indptr, k),
             "repeat": _of_targets(greater, tied, indptr, repeat, n, k)}
    unseen, unseen_indptr = slice_targets(indptr, ~repeat)
    first = dict.fromkeys(found["all"], np.full(n, np.nan))
    if len(unseen):
        seen = [queries.histories.items[queries.histories.indptr[q]:queries.histories.indptr[q + 1]] for q in unseen]
        exclude = (np.r_[0, np.cumsum([len(s) for s in seen])], np.concatenate(seen))
        ranks = expected_ranks(scores[unseen], unseen_indptr, targets[~repeat], exclude)
        first = _spread(metrics_from_ranks(*ranks, unseen_indptr, k), unseen, n)
    found["first_time"] = first
    if domain is not None:
        inside = domain[targets]
        kept, kept_indptr = slice_targets(indptr, inside)
        ranks = expected_ranks(np.where(domain, scores[kept], -np.inf), kept_indptr, targets[inside])
        found["in_domain"] = _spread(metrics_from_ranks(*ranks, kept_indptr, k), kept, n)
    return found


def _of_targets(greater: np.ndarray, tied: np.ndarray, indptr: np.ndarray, keep: np.ndarray, n: int, k: int) -> Metrics:
    kept, kept_indptr = slice_targets(indptr, keep)
    return _spread(metrics_from_ranks(greater[keep], tied[keep], kept_indptr, k), kept, n)


def _spread(metrics: Metrics, rows: np.ndarray, n: int) -> Metrics:
    """Put the values of some queries at their rows of n, NaN elsewhere."""
    spread = {}
    for name, values in metrics.items():
        spread[name] = np.full(n, np.nan)
        spread[name][rows] = values
    return spread


def _concatenate(pieces: list[dict[str, Metrics]]) -> dict[str, Metrics]:
    if not pieces:
        return {}
    return {s: {m: np.concatenate([p[s][m] for p in pieces]) for m in pieces[0][s]} for s in pieces[0]}
