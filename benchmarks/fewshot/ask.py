"""Rank questions with many systems: NDCG@10 of every question, the whole catalogue offered, ties at their expected rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from recsys_core.interactions import Histories, Queries
from recsys_core.metrics import Interval, paired_bootstrap, ranking_metrics

CHUNK = 64  # questions whose scores are held at once

Score = Callable[[Histories], np.ndarray]  # n histories -> float32 [n, N]


def ask(systems: Mapping[str, Score], questions: Queries, *, masked: bool = False) -> dict[str, np.ndarray]:
    """float64 [n] per system. masked: items of the whole history are not offered."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    for low in range(0, len(questions), CHUNK):
        past = questions.histories[low:low + CHUNK]
        indptr = questions.target_indptr[low:low + len(past) + 1]
        targets = questions.targets[indptr[0]:indptr[-1]]
        for name, score in systems.items():
            found[name].append(ranking_metrics(score(past), indptr - indptr[0], targets,
                                               exclude=(past.indptr, past.items) if masked else None)["ndcg@10"])
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in found.items()}


def difference(ours: np.ndarray, theirs: np.ndarray, users: np.ndarray) -> Interval:
    """The mean difference with its interval over users."""
    return paired_bootstrap(ours - theirs, users, np.random.default_rng(0))
