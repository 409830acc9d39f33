"""Multinomial and one-vs-rest logistic regression with a ridge, solved in the eigenbasis of the shots' Gram matrix.

Steps are those of Böhning's (1992) bound on the curvature, accelerated (Nesterov 1983): no learning rate, and the cost of
n² × classes per step. How well a shot is predicted without it is one Newton step away (Rad & Maleki 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONVERGED = 1e-3  # of the largest coefficient
STEPS = 200


@dataclass(frozen=True)
class Solved:
    """Dual coefficients float64 [n, C], and the logits float64 [n, C] of each shot by the solution without it."""

    dual: np.ndarray
    left_out: np.ndarray


def solve_ridge(gram: np.ndarray, target: np.ndarray, strength: float, several: bool, start: np.ndarray) -> Solved:
    """Maximise Σ log p − λ|W|²/2.

    Args:
        gram: float64 [n, n].
        target: float64 [n, C], 0 or 1.
        strength: λ.
        several: a shot may have several classes: each class against the rest; else they exclude each other.
        start: float64 [n, C], dual coefficients to begin with.
    """
    values, basis = np.linalg.eigh(gram)
    values = np.maximum(values, 1e-9)
    solution = ahead = basis.T @ start
    momentum, scale = 1.0, (values * (0.25 if several else 0.5) + strength)[:, None]
    for _ in range(STEPS):
        residual = target - to_probabilities(basis @ (values[:, None] * ahead), several)
        step = (basis.T @ residual - strength * ahead) / scale
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        found = ahead + step
        ahead, solution, momentum = found + (momentum - 1) / faster * (found - solution), found, faster
        if np.abs(step).max() < CONVERGED * np.abs(found).max():
            break
    return Solved(basis @ solution, _leave_out(values, basis, target, solution, strength, several))


def to_probabilities(logits: np.ndarray, several: bool) -> np.ndarray:
    """float64 [n, C]; rows sum to 1 unless a text may have several classes."""
    if several:
        return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    exp = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return exp / exp.sum(axis=1, keepdims=True)


def _leave_out(values: np.ndarray, basis: np.ndarray, target: np.ndarray, solution: np.ndarray, strength: float,
               several: bool) -> np.ndarray:
    """Every curvature p(1 − p) is taken as their mean."""
    logits = basis @ (values[:, None] * solution)
    p = to_probabilities(logits, several)
    curvature = (p * (1 - p)).mean()
    leverage = (basis**2 @ (values / (curvature * values + strength)))[:, None]
    return logits - leverage / (1 - np.minimum(curvature * leverage, 0.999)) * (target - p)
