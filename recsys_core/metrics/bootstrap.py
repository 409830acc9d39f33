"""Intervals, p-values and detectable effects for means of rows that come in clusters (users).

One shopper's baskets resemble each other, so the shopper is drawn, never the basket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_core.errors import DataError

DRAWS_PER_BLOCK = 200_000  # clusters drawn at once; a block stays in the processor cache


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Args:
        mean: over rows.
        low: lower bound; −inf where the data cannot say.
        high: upper bound; inf where the data cannot say.
        p_value: one-sided, the chance of such a mean if the true one were ≤ 0.
        n: rows.
        clusters: users.
    """

    mean: float
    low: float
    high: float
    p_value: float
    n: int
    clusters: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values; an infinite bound is None (JSON has no infinity)."""
        return {"mean": self.mean, "low": self.low if math.isfinite(self.low) else None,
                "high": self.high if math.isfinite(self.high) else None,
                "p_value": self.p_value, "n": self.n, "clusters": self.clusters}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Interval:
        """The inverse of `to_json`."""
        return cls(**{**value, "low": -math.inf if value["low"] is None else value["low"],
                      "high": math.inf if value["high"] is None else value["high"]})


def _cluster_sums(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of rows of each cluster: float64 [c] twice."""
    values = np.asarray(values, float)
    if not len(values) or len(values) != len(clusters):
        raise DataError("bootstrap", f"{len(values)} values for {len(clusters)} cluster labels",
                        "pass at least one row, and one cluster label per row")
    if not np.isfinite(values).all():
        raise DataError("bootstrap", f"row {(~np.isfinite(values)).argmax()} is not finite",
                        "check the metric that produced it")
    _, code = np.unique(clusters, return_inverse=True)
    return np.bincount(code, values), np.bincount(code).astype(float)


def paired_bootstrap(differences: np.ndarray, clusters: np.ndarray, rng: np.random.Generator,
                     repeats: int = 2000, level: float = 0.95) -> Interval:
    """Cluster bootstrap of a mean, usually of per-query differences between two rankers.

    Draws clusters with replacement and takes the percentiles of the ratio Σ sums / Σ rows. Plain
    percentiles are too narrow for few clusters. So every deviation from the mean is stretched by
    √(c/(c−1)) · t(c−1)/z, after Hesterberg 2015: 1.01 at 200 clusters, 9 at 2. A single cluster says
    nothing about others: the interval is infinite and p is 1.

    The one-sided p-value is the share of draws at or below zero. Fewer than ten of them are too coarse a
    count for a correction over hundreds of segments: the normal tail with the draws' spread continues it.
    It is never below 2^−c, the least that flipping the signs of c clusters can show.

    Args:
        differences: float [n].
        clusters: [n], the user of each row, any integer or string labels.
        rng: draws the clusters.
        repeats: how often they are drawn.
        level: two-sided coverage of the interval.

    Raises:
        DataError: no rows, or values that are not finite.

    >>> paired_bootstrap(np.ones(3), np.array([0, 1, 1]), np.random.default_rng(0))
    Interval(mean=1.0, low=1.0, high=1.0, p_value=0.25, n=3, clusters=2)
    >>> paired_bootstrap(np.ones(3), np.zeros(3), np.random.default_rng(0)).low
    -inf
    """
    from scipy.special import ndtr, ndtri, stdtrit

    sums, rows = _cluster_sums(differences, clusters)
    mean, c = float(sums.sum() / rows.sum()), len(sums)
    if c == 1:
        return Interval(mean, -math.inf, math.inf, 1.0, len(differences), 1)
    means = np.empty(repeats)
    block = max(DRAWS_PER_BLOCK // c, 1)
    for start in range(0, repeats, block):
        drawn = rng.integers(0, c, (min(block, repeats - start), c), dtype=np.int32)
        means[start:start + block] = sums[drawn].sum(1) / rows[drawn].sum(1)
    tail = (1 - level) / 2
    stretch = math.sqrt(c / (c - 1)) * float(stdtrit(c - 1, 1 - tail) / ndtri(1 - tail))
    means = mean + stretch * (means - mean)
    low, high = np.quantile(means, [tail, 1 - tail])
    crossed, spread = int(np.count_nonzero(means <= 0)), float(means.std())
    p_value = (1 + crossed) / (1 + repeats)
    if crossed < 10 and spread > 0:
        p_value = min(p_value, float(ndtr(-mean / spread)))
    return Interval(mean, float(low), float(high), max(p_value, 2.0**-c), len(differences), c)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (1979): reject where the result is below the family's level.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise DataError("Holm correction", f"the p-value of {name} is {value}", "pass values in [0, 1]")
    adjusted, floor = {}, 0.0
    for done, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = max(floor, min(1.0, (len(p_values) - done) * p_values[name]))
        adjusted[name] = floor
    return {name: adjusted[name] for name in p_values}


def minimum_detectable_effect(differences: np.ndarray, clusters: np.ndarray, power: float = 0.8,
                              level: float = 0.95) -> float:
    """Smallest true mean that these rows would find, with probability `power`, above zero at `level`.

    (t(1 − (1−level)/2) + t(power)) · standard error, with c−1 degrees of freedom and the error of a
    ratio estimator over clusters: √(c/(c−1) · Σ (sum − mean·rows)²) / Σ rows (Bloom 1995; Cochran
    1977). Infinite for a single cluster.

    >>> round(minimum_detectable_effect(np.array([1., -1.] * 50), np.arange(100)), 3)
    0.284
    """
    from scipy.special import stdtrit

    sums, rows = _cluster_sums(differences, clusters)
    c = len(sums)
    if c == 1:
        return math.inf
    residuals = sums - sums.sum() / rows.sum() * rows
    error = math.sqrt(c / (c - 1) * float(residuals @ residuals)) / rows.sum()
    return float((stdtrit(c - 1, 1 - (1 - level) / 2) + stdtrit(c - 1, power)) * error)
