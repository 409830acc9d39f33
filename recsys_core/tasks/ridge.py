"""Multinomial and one-vs-rest logistic regression with a ridge, solved in the shots' Gram matrix.

Steps are those of Böhning's (1992) bound on the curvature, accelerated (Nesterov 1983): no learning rate, one inverse, and
the cost of n² × classes per step. Before, directions in which shots of one class differ may be shortened, as Fisher's
discriminant does: the ways to say "please help me" tell no class from another.
"""

from __future__ import annotations

import numpy as np

CONVERGED = 1e-3  # of the largest coefficient
STEPS = 200


def solve_ridge(gram: np.ndarray, target: np.ndarray, strength: float, several: bool, shorten: float) -> np.ndarray:
    """Maximise Σ log p − λ|W|²/2.

    Args:
        gram: float64 [n, n].
        target: float64 [n, C], 0 or 1.
        strength: λ.
        several: a shot may have several classes: each class against the rest; else they exclude each other.
        shorten: γ: features are read in the metric (I + γ S)⁻¹, S being the summed scatter of shots around their classes' means.

    Returns:
        float64 [n, C], dual coefficients: a text's logits are its inner products with the shots times these.
    """
    if not shorten:
        return _solve(gram, target, strength, several)
    means = np.linalg.pinv(target)
    within = gram - target @ (means @ gram)  # rows are deviations from the means of their classes
    both = within - within @ means.T @ target.T
    removed = np.linalg.inv(np.eye(len(gram)) / shorten + both) @ within
    removed -= target @ (means @ removed)
    dual = _solve(gram - gram @ removed, target, strength, several)
    return np.asarray(dual - removed @ dual)


def to_probabilities(logits: np.ndarray, several: bool) -> np.ndarray:
    """float64 [n, C]; rows sum to 1 unless a text may have several classes."""
    if several:
        return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    exp = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return exp / exp.sum(axis=1, keepdims=True)


def _solve(gram: np.ndarray, target: np.ndarray, strength: float, several: bool) -> np.ndarray:
    inverse = np.linalg.inv((0.25 if several else 0.5) * gram + strength * np.eye(len(gram)))
    solution = ahead = np.zeros_like(target)
    momentum = 1.0
    for _ in range(STEPS):
        step = inverse @ (target - to_probabilities(gram @ ahead, several) - strength * ahead)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        found = ahead + step
        ahead, solution, momentum = found + (momentum - 1) / faster * (found - solution), found, faster
        if np.abs(step).max() < CONVERGED * np.abs(found).max():
            break
    return np.asarray(solution)
