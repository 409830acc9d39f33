"""Tests that may be looked at after every user: the chance that any look is ever wrong stays below the level.

A test of fixed size holds its level at one look that was planned before. Who looks every morning, and stops at the first
p < .05, is wrong far more often. These bounds hold at all looks together.

Means: the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit
theory and asymptotic confidence sequences", Annals of Statistics 52(6), after Robbins' normal mixture. Signs: Robbins' beta
mixture of the binomial likelihood, which is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.errors import ExperimentError

FEW = 30  # users before a slope over the covariate is used


class SequentialConfig(BaseModel, frozen=True, extra="forbid"):
    """How sure a decision must be, and where the bounds are narrowest."""

    level: float = Field(0.95, gt=0.5, lt=1, description="chance that the intervals at all looks hold the truth together")
    planned: int = Field(5_000, ge=1, description="users at which the interval is narrowest; it holds at any number")
    least_outcomes: int = Field(50, ge=2, description="users with an outcome other than zero that each variant needs first: "
                                "with few, a rare outcome is too skewed for bounds that rest on the central limit theorem")


@dataclass(frozen=True)
class Sequential:
    """A mean and what all looks so far say of it.

    Args:
        mean: the estimate now.
        low: lower bound; −inf where there is too little data yet.
        high: upper bound; inf where there is too little data yet.
        p_value: the least that any look gave, two-sided; at most 1 − level means decided.
        n: users.
    """

    mean: float
    low: float
    high: float
    p_value: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values; an infinite bound is None (JSON has no infinity)."""
        bounds = {name: value if math.isfinite(value) else None for name, value in (("low", self.low), ("high", self.high))}
        return {"mean": self.mean, **bounds, "p_value": self.p_value, "n": self.n}


def sequential_difference(outcome: np.ndarray, treated: np.ndarray, covariate: np.ndarray, share: float,
                          config: SequentialConfig) -> Sequential:
    """Mean outcome of the treated minus that of the others, valid at every look.

    Each user gives f = (y − m)·(w/q − (1 − w)/(1 − q)), whose expectation is the difference, whatever m is. m is what earlier
    users predict: their mean, and their slope over the covariate (as CUPED, Deng et al. 2013). So it only lowers the spread.

    Args:
        outcome: float [n], y, in the order in which users' outcomes became known.
        treated: bool [n], w.
        covariate: float [n], known before the user's first exposure.
        share: q in (0, 1), the treated one's share of the two.
        config: see there.

    Raises:
        ExperimentError: arrays of different lengths, or a value that is not finite.

    >>> rng = np.random.default_rng(0)
    >>> treated = rng.random(2000) < .5
    >>> found = sequential_difference(1.0 * (rng.random(2000) < .3 + .2 * treated), treated, np.zeros(2000), .5,
    ...                               SequentialConfig())
    >>> found.low > 0, found.p_value < .05
    (True, True)
    """
    y, x = np.asarray(outcome, float), np.asarray(covariate, float)
    w = np.asarray(treated, bool)
    if not len(y) == len(x) == len(w) or not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise ExperimentError("sequential test", f"{len(y)} outcomes, {len(x)} covariates and {len(w)} variants, or a value that "
                              "is not finite", "pass one finite value per user")
    weight = np.where(w, 1 / share, -1 / (1 - share))
    values = (y - _predicted(y, x)) * weight
    enough = np.minimum(np.cumsum(w & (y != 0)), np.cumsum(~w & (y != 0))) >= config.least_outcomes
    return _confidence_sequence(values, enough, config)


def _predicted(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the users before each one predict of it: their mean and, beyond `FEW`, their least-squares slope."""
    before = np.arange(len(y), dtype=float)
    rows = np.maximum(before, 1)

    def so_far(values: np.ndarray) -> np.ndarray:
        return np.r_[0.0, np.cumsum(values)[:-1]][:len(values)] / rows

    mean_x, mean_y = so_far(x), so_far(y)
    spread = so_far(x * x) - mean_x**2
    shared = so_far(x * y) - mean_x * mean_y
    usable = (before >= FEW) & (spread > 1e-12 * (1 + mean_x**2))
    slope = np.divide(shared, spread, out=np.zeros_like(shared), where=usable)
    return mean_y + slope * (x - mean_x)


def _confidence_sequence(values: np.ndarray, enough: np.ndarray, config: SequentialConfig) -> Sequential:
    """Theorem 2.2 there: mean ± σ·√(2(tρ² + 1)/(t²ρ²) · log(√(tρ² + 1)/α)), with ρ that makes it narrowest at `planned`."""
    n, alpha = len(values), 1 - config.level
    if not n:
        return Sequential(0.0, -math.inf, math.inf, 1.0, 0)
    times = np.arange(1, n + 1, dtype=float)
    means = np.cumsum(values) / times
    variances = np.maximum(np.cumsum(values**2) / times - means**2, 0.0)
    if not enough[-1] or not variances[-1]:
        return Sequential(float(means[-1]), -math.inf, math.inf, 1.0, n)
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / config.planned
    grown = times * rho2 + 1
    looked = enough & (variances > 0)
    z2 = np.divide(times * means**2, variances, out=np.zeros(n), where=looked)
    # the logarithm of the mixture's likelihood ratio
    evidence = np.where(looked, 0.5 * z2 * times * rho2 / grown - 0.5 * np.log(grown), 0.0)
    half = math.sqrt(variances[-1] * 2 * grown[-1] / (n**2 * rho2) * math.log(math.sqrt(grown[-1]) / alpha))
    return Sequential(float(means[-1]), float(means[-1] - half), float(means[-1] + half),
                      float(min(1.0, math.exp(-evidence.max()))), n)


def sequential_sign(wins: np.ndarray, config: SequentialConfig) -> Sequential:
    """The share of users who prefer b among those who prefer one of the two, valid at every look.

    M(p) = B(k + 1, n − k + 1) / (p^k (1 − p)^(n − k)) reaches 1/α at any look with chance α at most, if p is the truth:
    a uniform mixture over the alternatives. The interval is every p with M(p) < 1/α; the p-value is of p = 1/2.

    Args:
        wins: [n] of −1 (a is preferred), 0 or 1 (b is), in the order in which users' outcomes became known; zeros are left out.
        config: its level.

    >>> found = sequential_sign(np.r_[np.ones(40), -np.ones(10)], SequentialConfig())
    >>> found.mean, round(found.low, 2), round(found.high, 2)
    (0.8, 0.59, 0.93)
    """
    from scipy.optimize import brentq
    from scipy.special import betaln

    decided = np.asarray(wins)[np.asarray(wins) != 0]
    n = len(decided)
    if not n:
        return Sequential(0.5, -math.inf, math.inf, 1.0, 0)
    k, times = np.cumsum(decided > 0), np.arange(1, n + 1)
    evidence = betaln(k + 1, times - k + 1) + times * math.log(2)
    won, bound = int(k[-1]), -math.log(1 - config.level)
    mixture = betaln(won + 1, n - won + 1)

    def beyond(p: float) -> float:
        return float(mixture - won * math.log(p) - (n - won) * math.log1p(-p) - bound)

    mean, edge = won / n, 1e-12
    inside = min(max(mean, edge), 1 - edge)
    low = brentq(beyond, edge, inside) if won and beyond(edge) > 0 else 0.0
    high = brentq(beyond, inside, 1 - edge) if won < n and beyond(1 - edge) > 0 else 1.0
    return Sequential(mean, low, high, float(min(1.0, math.exp(-max(evidence.max(), 0.0)))), n)
