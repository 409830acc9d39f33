"""Texts of none of the classes: told by a small logistic regression that is learned from the shots themselves.

Every class is left out once, with its shots. What the others' solution and shots say of them is how a text of an unknown
class looks; what they say of each single left-out shot is how a text of a known class looks. The score's threshold is
the one that refuses a given share of the latter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

GROUPS = 5  # of classes that are left out together
RIDGE = 1.0
STEPS = 30  # of Newton's method
AT_ONCE = 1024  # texts compared at a time
PLAIN = np.array([0, 0, 1, 0, 0, 0], np.float64)  # too few classes to leave one out: the nearest shot's cosine decides


def evidence(logits: np.ndarray, vectors: np.ndarray, shots: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """What speaks for a text's being of some class.

    Args:
        logits: float [n, C].
        vectors: float [n, d], rows of unit length.
        shots: float [s, d], rows of unit length.
        usual: float [n], the mean likeness of a text's n-grams to those of the shots.

    Returns:
        float64 [n, 6]: the largest logit, the logits' standard deviation, the cosine of the nearest shot, the mean of those of
        all shots; `usual`; 1.
    """
    similar = [_nearness(vectors[at:at + AT_ONCE] @ shots.T) for at in range(0, len(vectors), AT_ONCE)]
    return _beside(logits, np.concatenate(similar or [np.zeros((0, 2))]), usual)


def left_out_evidence(logits: np.ndarray, shots: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """`evidence` of each shot by the others.

    Args:
        logits: float [s, C], of each shot by the solution without it.
        shots: float [s, d], rows of unit length.
        likeness: float [s, s], inner products of the shots' n-grams.
    """
    similar = shots @ shots.T
    others = similar[~np.eye(len(shots), dtype=bool)].reshape(len(shots), -1)
    return _beside(logits, _nearness(others), (likeness.sum(axis=1) - np.diag(likeness)) / (len(shots) - 1))


def learn_unknown(known: np.ndarray, target: np.ndarray, shots: np.ndarray, likeness: np.ndarray,
                  solve: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Weights float64 [6] of the evidence; the larger the sum, the more a text looks like one of some class.

    Args:
        known: float64 [s, 6], as `left_out_evidence` gave it.
        target: bool [s, C].
        shots: float [s, d], rows of unit length.
        likeness: float [s, s], inner products of the shots' n-grams.
        solve: from bool [s], the shots to learn from, and bool [C], their classes, to the logits of all others.
    """
    classes = target.shape[1]
    if classes < 3:
        return PLAIN
    unknown = np.zeros((0, known.shape[1]))
    for group in range(min(GROUPS, classes)):
        kept = np.arange(classes) % min(GROUPS, classes) != group
        rows = np.asarray(~target[:, ~kept].any(axis=1))
        if kept.sum() > 1 and rows.any() and not rows.all():
            unknown = np.concatenate([unknown, evidence(
                solve(rows, kept), shots[~rows], shots[rows], likeness[np.ix_(~rows, rows)].mean(axis=1))])
    if not len(unknown):
        return PLAIN
    return _separate(np.concatenate([known, unknown]), np.arange(len(known) + len(unknown)) < len(known))


def _separate(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Logistic regression on standardised features, both sides weighing the same; the last feature is constant."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    mean[-1], spread[-1] = 0, 1
    scaled, theta = (features - mean) / spread, np.zeros(features.shape[1])
    ridge = np.diag([RIDGE] * (len(theta) - 1) + [1e-6])
    weight = np.where(known, 0.5 / known.sum(), 0.5 / (~known).sum()) * len(known)
    for _ in range(STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (scaled @ theta)))
        hessian = (scaled * (weight * p * (1 - p))[:, None]).T @ scaled + ridge
        theta = theta + np.linalg.solve(hessian, scaled.T @ (weight * (known - p)) - ridge @ theta)
    found = theta / spread
    found[-1] -= found[:-1] @ mean[:-1]
    return np.asarray(found)


def _nearness(similar: np.ndarray) -> np.ndarray:
    """float64 [n, 2]: the largest and the mean."""
    return np.stack([similar.max(axis=1), similar.mean(axis=1)], axis=1).astype(np.float64)


def _beside(logits: np.ndarray, nearness: np.ndarray, usual: np.ndarray) -> np.ndarray:
    return np.column_stack([logits.max(axis=1), logits.std(axis=1), nearness, usual, np.ones(len(logits))])
