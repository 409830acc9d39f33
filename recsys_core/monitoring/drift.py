"""How far observations are from the reference: the population stability index and the Kolmogorov–Smirnov distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.monitoring.profile import ALL, BASE, SEGMENT, Counts, Reference


class DriftConfig(BaseModel, frozen=True, extra="forbid"):
    """When a difference counts."""

    psi: float = Field(0.2, gt=0, description="above it a distribution has shifted, by the usual rule")
    p_value: float = Field(0.001, gt=0, lt=1, description="and chance must be less likely than this")
    least: int = Field(200, ge=1, description="answers on either side below which nothing is said")
    days: int = Field(7, ge=1, description="days of observations looked at")


@dataclass(frozen=True)
class Drift:
    """One feature of one segment.

    Args:
        segment: "all", "base" or a segment's name.
        feature: see `profile.FEATURES`; "fallback" and "segment" are shares.
        psi: ≥ 0; None where too little was seen.
        ks: in [0, 1]; None for shares of segments, which have no order.
        p_value: of the KS distance, conservative because values are binned; of the PSI where there is no order.
        expected: answers in the reference.
        observed: answers seen.
        drifted: the difference counts.
    """

    segment: str
    feature: str
    psi: float | None
    ks: float | None
    p_value: float | None
    expected: int
    observed: int
    drifted: bool


def drift(reference: Reference, observed: Counts, config: DriftConfig) -> list[Drift]:
    """Compare every feature of every segment.

    Args:
        reference: of the bundle.
        observed: counts in its bins.
        config: when a difference counts.

    Returns:
        those of all requests first, then by segment.
    """
    order = sorted(reference.counts, key=lambda name: (name != ALL, name != BASE, name))
    return [_compare(segment, feature, counts, observed[segment][feature], config)
            for segment in order for feature, counts in reference.counts[segment].items()]


def _compare(segment: str, feature: str, expected: np.ndarray, seen: np.ndarray, config: DriftConfig) -> Drift:
    n, m = int(expected.sum()), int(seen.sum())
    if min(n, m) < config.least:
        return Drift(segment, feature, None, None, None, n, m, False)
    value, distance = psi(expected, seen), None if feature == SEGMENT else ks(expected, seen)
    chance = psi_p_value(value, n, m, len(expected)) if distance is None else ks_p_value(distance, n, m)
    return Drift(segment, feature, value, distance, chance, n, m, value > config.psi and chance < config.p_value)


def psi(expected: np.ndarray, observed: np.ndarray) -> float:
    """The population stability index of counts [bins]: Σ (o − e)·ln(o / e) over the bins' shares.

    Siddiqi, Credit Risk Scorecards (2006). Half a count is added to every bin: an empty one would be infinite.

    >>> round(psi(np.array([50, 50]), np.array([50, 50])), 3), round(psi(np.array([50, 50]), np.array([90, 10])), 2)
    (0.0, 0.85)
    """
    e, o = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (expected, observed))
    return float(((o - e) * np.log(o / e)).sum())


def psi_p_value(value: float, n: int, m: int, bins: int) -> float:
    """Chance of such an index between samples of n and m of one distribution: PSI·nm / (n + m) is χ² with bins − 1 degrees.

    Yurdakul, Statistical Properties of Population Stability Index (2018); the tail by Wilson and Hilferty (1931).

    >>> round(psi_p_value(16.92 * (1 / 500 + 1 / 500), 500, 500, 10), 2)
    0.05
    """
    degrees = max(bins - 1, 1)
    cube = (value * n * m / (n + m) / degrees) ** (1 / 3)
    spread = 2 / (9 * degrees)
    return 0.5 * math.erfc((cube - (1 - spread)) / math.sqrt(2 * spread))


def ks(expected: np.ndarray, observed: np.ndarray) -> float:
    """The two-sample Kolmogorov–Smirnov distance at the bins' edges: max |F_o − F_e|, at most that of the values themselves.

    >>> round(ks(np.array([50, 50]), np.array([90, 10])), 3)
    0.4
    """
    shares = [np.cumsum(counts) / counts.sum() for counts in (expected, observed)]
    return float(np.abs(shares[0] - shares[1]).max())


def ks_p_value(distance: float, n: int, m: int) -> float:
    """Chance of such a distance between samples of n and m of one distribution: Smirnov's limit (1948), two-sided.

    2·Σ (−1)^(j−1)·exp(−2j²λ²) with λ = distance·√(nm/(n + m)).

    >>> round(ks_p_value(0.1, 400, 400), 3), ks_p_value(0.0, 400, 400)
    (0.037, 1.0)
    """
    scale = distance * np.sqrt(n * m / (n + m))
    if scale < 0.2:  # the series converges slowly, and the chance is 1 to 12 digits
        return 1.0
    j = np.arange(1, 101)
    return float(np.clip(2 * ((-1.0) ** (j - 1) * np.exp(-2 * (j * scale) ** 2)).sum(), 0, 1))


def drifting(found: Sequence[Drift]) -> list[str]:
    """The segments with a feature that drifted, in the order of `found`."""
    return list(dict.fromkeys(one.segment for one in found if one.drifted))
