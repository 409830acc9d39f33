"""Ask a trial's questions with many adapters at once: NDCG@10 in the trial's own slice, the base scored a single time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmarks.adaptations.trials import Trial
from recsys_core.adaptation.shots import ShotConfig, Shots, draw_shots
from recsys_core.base_model.data import Histories, Queries, make_queries
from recsys_core.evaluation.contest import Scorer
from recsys_core.evaluation.metrics import expected_ranks, metrics_from_ranks, slice_targets, split_targets

CHUNK = 32  # questions whose scores are held at once


def questions(trial: Trial, window: str, most: int, seed: int = 0) -> Queries:
    """The steps of the users who gave no shots, with the segment's targets.

    Args:
        window: "gate" or "report". most: steps asked at most.
    """
    bounds = (trial.window.gate_start, trial.window.report_start, trial.window.report_end)
    start, end = bounds[:2] if window == "gate" else bounds[1:]
    return _hide(trial, make_queries(trial.events, start, end, target=trial.member, users=~trial.givers, max_queries=most,
                                     rng=np.random.default_rng([seed, start])))


def shots(trial: Trial, k: int, seed: int, placebo: bool = False) -> Shots:
    """At most k shots of the support window, of the segment or (placebo) from outside it.

    A scene that takes in everything leaves nothing outside in its own days: then of as many days before it.
    """
    start, end = trial.window.support_start, trial.window.gate_start
    for low in (start, start - (end - start)):
        drawn = draw_shots(trial.events, low, low + end - start, trial.outside if placebo else trial.member,
                           ShotConfig(k=k), np.random.default_rng([seed, int(placebo)]), trial.givers)
        if len(drawn) or not placebo:
            break
    return replace(drawn, queries=_hide(trial, drawn.queries))


def _hide(trial: Trial, queries: Queries) -> Queries:
    """The questions without the hidden items in their histories."""
    past = queries.histories
    if trial.hidden is None:
        return queries
    kept = ~trial.hidden[past.items]
    indptr = np.r_[0, np.cumsum(kept)][past.indptr]
    return replace(queries, histories=Histories(indptr, past.items[kept], past.steps_ago[kept], past.days_ago[kept],
                                                past.event_type[kept]))


def ask(trial: Trial, asked: Queries, offsets: Mapping[str, np.ndarray],
        rivals: Mapping[str, Scorer] | None = None) -> dict[str, np.ndarray]:
    """NDCG@10 of "base" and of every adapter and rival: float64 [n], NaN where a question has no target in the slice.

    Args:
        offsets: name → float32 [N] added to the base's scores. rivals: name → ranker of its own.
    """
    columns = np.flatnonzero(trial.domain) if trial.domain is not None else np.arange(len(trial.prior.catalogue))
    position = np.full(len(trial.prior.catalogue), -1)
    position[columns] = np.arange(len(columns))
    kept = ~split_targets(asked.target_indptr, asked.targets, asked.histories) if trial.part == "first_time" \
        else position[asked.targets] >= 0
    rows, indptr = slice_targets(asked.target_indptr, kept)
    targets, now = position[asked.targets[kept]], int(np.median(asked.timestamp)) if len(asked) else None
    found = {name: np.full(len(asked), np.nan) for name in ("base", *offsets, *(rivals or {}))}
    own = {name: values[columns] for name, values in offsets.items()}
    for low in range(0, len(rows), CHUNK):
        part = rows[low:low + CHUNK]
        first, last = indptr[low], indptr[min(low + CHUNK, len(rows))]
        bounds, wanted = indptr[low:low + len(part) + 1] - first, targets[first:last]
        base = np.concatenate([trial.ranker.score(asked.histories[row:row + 1], now) for row in part])[:, columns]
        seen = _seen(asked, part) if trial.part == "first_time" else None

        def measure(name: str, scores: np.ndarray, part=part, bounds=bounds, wanted=wanted, seen=seen) -> None:
            ranks = expected_ranks(scores, bounds, wanted, seen)
            found[name][part] = metrics_from_ranks(*ranks, bounds)["ndcg@10"]

        measure("base", base)
        for name, values in own.items():
            measure(name, base + values)
        for name, rival in (rivals or {}).items():
            measure(name, np.concatenate([rival.score(asked.histories[row:row + 1]) for row in part])[:, columns])
    return found


def _seen(asked: Queries, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of some questions' histories, which are not offered."""
    own = [asked.histories.items[asked.histories.indptr[row]:asked.histories.indptr[row + 1]] for row in rows]
    return np.r_[0, np.cumsum([len(items) for items in own])], np.concatenate(own)
