"""Active learning: which texts to label next, so that the classes gain most.

A batch takes texts whose likeliest two classes are close (margin), and of these, spread out ones: greedy choice by doubt
times the distance to what is already chosen. Without an adapter, typical texts of as many groups as may be labelled
(TypiClust, Hacohen et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys_core.tasks.classes import ClassAdapter, ReadsTexts

ROUNDS = 20  # of k-means
NEIGHBOURS = 20  # whose similarity says how typical a text is
READ = 20_000  # texts considered, at most
CANDIDATES = 8  # doubtful texts per text to choose


def propose(adapter: ClassAdapter | None, encoder: ReadsTexts, texts: Sequence[str], n: int) -> list[int]:
    """Rows of `texts` to label next, the most telling first.

    Args:
        adapter: what was learned so far, None before anything is labelled.
        encoder: the one it was made with.
        texts: without labels; of more than 20,000 the first are read.
        n: how many to choose; each text is chosen once.
    """
    first: dict[str, int] = {}
    for row, text in enumerate(texts[:READ]):
        first.setdefault(text, row)
    rows = np.array(list(first.values()), np.int64)
    n = min(n, len(rows))
    if not n:
        return []
    vectors = np.asarray(encoder.encode(list(first)), np.float32)
    if adapter is None:
        return rows[_typical(vectors, n)].tolist()
    doubt = _doubt(adapter.probabilities(encoder, list(first)))
    likely = np.argsort(-doubt, kind="stable")[:n * CANDIDATES]
    return rows[likely[_spread(vectors[likely], doubt[likely], n)]].tolist()


def _doubt(probabilities: np.ndarray) -> np.ndarray:
    """float64 [n] in 0..1: 1 minus the margin between the two likeliest classes."""
    two = np.sort(probabilities, axis=1)[:, -2:]
    return 1 - (two[:, 1] - two[:, 0])


def _spread(vectors: np.ndarray, doubt: np.ndarray, n: int) -> list[int]:
    """Greedily the row with the largest doubt × distance to the nearest chosen one."""
    chosen: list[int] = []
    distance = np.ones(len(vectors))
    for _ in range(n):
        gain = doubt * distance
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        distance = np.minimum(distance, 1 - vectors @ vectors[chosen[-1]])
    return chosen


def _typical(vectors: np.ndarray, n: int) -> list[int]:
    """The most typical row of each of n groups, those of large groups first."""
    centres = vectors[_spread(vectors, np.ones(len(vectors)), n)]
    for _ in range(ROUNDS):
        group = (vectors @ centres.T).argmax(axis=1)
        centres = np.stack([vectors[group == at].mean(axis=0) if (group == at).any() else centres[at] for at in range(n)])
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    found = []
    for at in np.argsort(-np.bincount(group, minlength=n), kind="stable"):
        own = np.flatnonzero(group == at)
        if len(own):
            similar = np.sort(vectors[own] @ vectors[own].T, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
            found.append(int(own[similar.argmax()]))
    rest = np.setdiff1d(np.arange(len(vectors)), found)
    return [*found, *rest[:n - len(found)].tolist()]
