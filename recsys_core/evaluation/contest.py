"""Score several contestants on the same ranking questions, slice by slice, all within the same candidates.

Slices: `all` targets; `repeat` targets (in the history); `first_time` targets with the history's items left out of
the ranking (the seen-mask).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from recsys_core.interactions import Histories, Queries
from recsys_core.metrics import expected_ranks, metrics_from_ranks, slice_targets, split_targets

SLICES = ("all", "repeat", "first_time")


class Scorer(Protocol):
    """Anything that ranks: float32 [n, N] from n histories; higher is better."""

    def score(self, histories: Histories) -> np.ndarray: ...


class TimedScorer(Protocol):
    """The base ranker: its popularity trends fade with the time since its newest event."""

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray: ...


# (rows of the questions, the base's scores float32 [n, N]) → a contestant's scores [n, N]; it must not change the base's.
Blend = Callable[[slice, np.ndarray], np.ndarray]
Metrics = dict[str, np.ndarray]  # metric → float64 [n], NaN where the query has no such target
Contest = dict[str, dict[str, Metrics]]  # contestant → slice → its metrics


def run_contest(base: TimedScorer, queries: Queries, *, rivals: Mapping[str, Scorer] | None = None,
                blends: Mapping[str, Blend] | None = None, candidates: np.ndarray | None = None,
                now: int | None = None, k: int = 10, chunk: int = 128) -> Contest:
    """Rank every query with every contestant.

    Args:
        base: the base ranker, reported as "base".
        queries: n questions.
        rivals: other rankers, scored on their own.
        blends: contestants made from the base's scores, such as the base with an adapter's offsets; they may differ from
            question to question.
        candidates: bool [N]; where given, everybody ranks only these items.
        now: the time the base is asked at, seconds; None: the queries' median.
        k: length of the list that metrics look at.
        chunk: questions whose scores are held at once.

    Returns:
        contestant → slice → metric → float64 [n].
    """
    blends, rivals = blends or {}, rivals or {}
    now = int(np.median(queries.timestamp)) if now is None and len(queries) else now
    pieces = []
    for low in range(0, len(queries), chunk):
        rows = slice(low, min(low + chunk, len(queries)))
        part = take_rows(queries, rows)
        repeat = split_targets(part.target_indptr, part.targets, part.histories)
        scores = _base_scores(base, part.histories, now)

        def judge(found: np.ndarray, part: Queries = part, repeat: np.ndarray = repeat) -> dict[str, Metrics]:
            return _slices(found if candidates is None else np.where(candidates, found, -np.inf), part, repeat, k)

        piece = {"base": judge(scores)}
        piece |= {name: judge(blend(rows, scores)) for name, blend in blends.items()}
        piece |= {name: judge(rival.score(part.histories)) for name, rival in rivals.items()}
        pieces.append(piece)
    return join_contests(pieces) if pieces else {name: {} for name in ("base", *blends, *rivals)}


def join_contests(pieces: Iterable[Contest]) -> Contest:
    """One contest from those of its questions' blocks, in order."""
    pieces = list(pieces)
    return {name: {part: {metric: np.concatenate([piece[name][part][metric] for piece in pieces]) for metric in metrics}
                   for part, metrics in slices.items()} for name, slices in pieces[0].items()} if pieces else {}


def take_rows(queries: Queries, rows: slice) -> Queries:
    """The questions of a contiguous slice."""
    low, high = rows.start, rows.stop
    first, last = queries.target_indptr[low], queries.target_indptr[high]
    return Queries(queries.user[low:high], queries.timestamp[low:high], queries.histories[low:high],
                   queries.target_indptr[low:high + 1] - first, queries.targets[first:last])


def _base_scores(base: TimedScorer, histories: Histories, now: int | None) -> np.ndarray:
    """float32 [n, N]; shoppers of whom nothing is known share one list, which is scored once."""
    if len(histories) and not len(histories.items):
        one = base.score(histories[:1], now)
        return np.broadcast_to(one, (len(histories), one.shape[1]))
    return base.score(histories, now)


def _slices(scores: np.ndarray, queries: Queries, repeat: np.ndarray, k: int) -> dict[str, Metrics]:
    n, indptr, targets = len(queries), queries.target_indptr, queries.targets
    greater, tied = expected_ranks(scores, indptr, targets, depth=k)
    kept, kept_indptr = slice_targets(indptr, repeat)
    found = {"all": metrics_from_ranks(greater, tied, indptr, k),
             "repeat": _spread(metrics_from_ranks(greater[repeat], tied[repeat], kept_indptr, k), kept, n)}
    unseen, unseen_indptr = slice_targets(indptr, ~repeat)
    first = found["all"] if len(unseen) and not len(queries.histories.items) else \
        dict.fromkeys(found["all"], np.full(n, np.nan))
    if len(unseen) and len(queries.histories.items):
        seen = [queries.histories.items[queries.histories.indptr[q]:queries.histories.indptr[q + 1]] for q in unseen]
        exclude = (np.r_[0, np.cumsum([len(s) for s in seen])], np.concatenate(seen))
        ranks = expected_ranks(scores[unseen], unseen_indptr, targets[~repeat], exclude, depth=k)
        first = _spread(metrics_from_ranks(*ranks, unseen_indptr, k), unseen, n)
    return {**found, "first_time": first}


def _spread(metrics: Metrics, rows: np.ndarray, n: int) -> Metrics:
    """Put the values of some queries at their rows of n, NaN elsewhere."""
    spread = {}
    for name, values in metrics.items():
        spread[name] = np.full(n, np.nan)
        spread[name][rows] = values
    return spread
