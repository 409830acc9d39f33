"""How much of what is added to the base counts, by how much is known of the shopper.

P(next = i | history of n steps) ∝ exp(s_i + Σ_f t_f(n) x_fi): a conditional logit (McFadden 1974) on top of the
base's fixed score s, whose coefficients t_f are given at the knots of known steps and linear in between. What a
store's shelves say of a stranger, a regular's own history may already say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.base_model import sample_candidates
from recsys_core.interactions import KNOTS, knot_shares

STEPS = 50
SMALLEST_VARIANCE = 0.05  # keeps what hardly varies from an enormous coefficient


@dataclass(frozen=True)
class Choice:
    """One choice situation with c candidates.

    Args:
        base: float32 [c], the base's score.
        features: float32 [F, c], what may be added to it.
        log_weight: float32 [c], log of how many items a candidate stands for.
        chosen: float32 [c], 1/targets at the targets, 0 elsewhere.
        steps: how many steps of the shopper are known.
    """

    base: np.ndarray
    features: np.ndarray
    log_weight: np.ndarray
    chosen: np.ndarray
    steps: int


def make_choice(base: np.ndarray, offsets: np.ndarray, targets: np.ndarray, past: np.ndarray, steps: int,
                rng: np.random.Generator, *, top: int = 512, lifted: int = 256, tail: int = 256,
                candidates: np.ndarray | None = None) -> Choice:
    """A choice with one feature on the likely items, the needed ones, and a sample of the rest.

    Args:
        base: float32 [N], the base's score.
        offsets: float32 [N], what may be added to it.
        targets: int, the question's targets, among the candidates.
        past: int, the items of its history.
        steps: how many steps of the shopper are known.
        rng: draws the others.
        top: how many of the best by the base are kept.
        lifted: how many of the best by the offsets are kept.
        tail: how many others are drawn.
        candidates: bool [N], the items that are ranked; None: all.
    """
    rows = np.arange(len(base)) if candidates is None else np.flatnonzero(candidates)
    base, offsets = base[rows], offsets[rows].astype(np.float32)
    needed = np.flatnonzero(np.isin(rows, np.concatenate([targets, past])))
    best = np.argpartition(-offsets, min(lifted, len(rows)) - 1)[:lifted]
    kept, weight = sample_candidates(base, np.concatenate([needed, best]), top, tail, rng)
    return Choice(base[kept], offsets[None, kept], weight, np.isin(rows[kept], targets).astype(np.float32) / len(targets), steps)


def fit_trust(choices: Sequence[Choice], *, ridge: float = 1.0, smooth: float = 30.0, positive: bool = False) -> np.ndarray:
    """Maximise Σ log P − Σ_f v_f (ridge/2 Σ_j t_fj² + smooth/2 Σ_j (t_fj − t_f,j+1)²) by damped Newton steps.

    Args:
        choices: what shoppers took, and from what.
        ridge: pull to 0.
        smooth: pull between neighbouring knots. Both in choices: v_f is what a choice tells of t_f, the mean variance of
            the feature under the base's distribution.
        positive: values below 0 become 0 (an adapter is never turned around).

    Returns:
        t, float64 [knots, F]; zeros without choices.
    """
    if not choices:
        return np.zeros((len(KNOTS), 1))
    problem = _Problem(choices)
    penalty = np.kron(ridge * np.eye(len(KNOTS)) + smooth * _differences(), np.diag(problem.variance()))
    at = np.zeros(len(penalty))
    value, gradient, hessian = problem.penalised(at, penalty)
    for _ in range(STEPS):
        direction = np.linalg.solve(hessian, gradient)
        if gradient @ direction < 1e-9 * len(choices):
            break
        for size in (1.0, 0.5, 0.25, 0.1, 0.02):
            found = problem.penalised(at + size * direction, penalty)
            if found[0] > value:
                break
        else:
            break
        at = at + size * direction
        value, gradient, hessian = found
    trust = at.reshape(len(KNOTS), -1)
    return np.maximum(trust, 0.0) if positive else trust


def _differences() -> np.ndarray:
    """The matrix D with tᵀ D t = Σ_j (t_j − t_{j+1})²."""
    step = np.diff(np.eye(len(KNOTS)), axis=0)
    return step.T @ step


class _Problem:
    """The choices flattened, R candidates in all."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.lengths = np.array([len(choice.base) for choice in choices])
        self.start = np.r_[0, np.cumsum(self.lengths)[:-1]]
        self.base = np.concatenate([choice.base for choice in choices]).astype(np.float64)
        self.features = np.concatenate([choice.features for choice in choices], axis=1).astype(np.float64)
        self.log_weight = np.concatenate([choice.log_weight for choice in choices]).astype(np.float64)
        self.chosen = np.concatenate([choice.chosen for choice in choices]).astype(np.float64)
        self.shares = knot_shares(np.array([choice.steps for choice in choices])).astype(np.float64)

    def _moments(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-likelihood [n] at coefficients [n, F], its gradient [n, F] and its negative Hessian [n, F, F]."""
        score = self.base + (np.repeat(coefficients, self.lengths, axis=0).T * self.features).sum(axis=0)
        logit = score + self.log_weight
        peak = np.maximum.reduceat(logit, self.start)
        p = np.exp(logit - np.repeat(peak, self.lengths))
        total = np.add.reduceat(p, self.start)
        p /= np.repeat(total, self.lengths)
        value = np.add.reduceat(self.chosen * score, self.start) - np.log(total) - peak
        weighted = self.features * p
        mean = np.add.reduceat(weighted, self.start, axis=1).T
        gradient = np.add.reduceat(self.features * self.chosen, self.start, axis=1).T - mean
        square = np.stack([np.add.reduceat(weighted * row, self.start, axis=1).T for row in self.features], axis=2)
        return value, gradient, square - mean[:, :, None] * mean[:, None]

    def variance(self) -> np.ndarray:
        """float64 [F]: the mean variance of each feature under the base's distribution."""
        *_, curvature = self._moments(np.zeros((len(self.lengths), len(self.features))))
        return np.maximum(np.diagonal(curvature, axis1=1, axis2=2).mean(axis=0), SMALLEST_VARIANCE)

    def penalised(self, at: np.ndarray, penalty: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The objective at t [knots · F], its gradient and its negative Hessian."""
        value, gradient, curvature = self._moments(self.shares @ at.reshape(len(KNOTS), -1))
        pairs = np.einsum("nj,nk,nfg->jfkg", self.shares, self.shares, curvature, optimize=True)
        return (float(value.sum()) - 0.5 * float(at @ penalty @ at),
                (self.shares.T @ gradient).ravel() - penalty @ at, pairs.reshape(len(at), len(at)) + penalty)
