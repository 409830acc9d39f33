"""Does adapting pay, and from how many shots on? What at most K shots per member gain over the base.

Asked on the report window with nothing known of the shoppers, where the base is one list for everybody: it is scored
once, and every K only costs its adapters. K = 0 is the base: every gain is measured from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.metrics import Interval, paired_bootstrap


class CurveConfig(BaseModel, frozen=True, extra="forbid"):
    """What a curve is measured on."""

    ks: tuple[int, ...] = Field((4, 16, 64, 256), description="most shots per member; where all have fewer, it ends there")


@dataclass(frozen=True)
class CurvePoint:
    """What at most K shots per member are worth: the metric over the base's, paired per question, interval over users."""

    k: int
    gain: Interval

    def to_json(self) -> dict:
        return {"k": self.k, "gain": self.gain.to_json()}


@dataclass(frozen=True)
class ShotCurve:
    """One segment's or family's points by ascending K; the last one's K is all shots that any member has."""

    points: tuple[CurvePoint, ...] = ()

    @property
    def break_even(self) -> int | None:
        """The smallest K from which on every measured K pays, its interval above zero; None where the largest does not."""
        found = None
        for point in reversed(self.points):
            if not point.gain.low > 0:
                break
            found = point.k
        return found

    def to_json(self) -> list[dict]:
        return [point.to_json() for point in self.points]

    @classmethod
    def from_json(cls, value: list[dict]) -> ShotCurve:
        """The inverse of `to_json`."""
        return cls(tuple(CurvePoint(point["k"], Interval.from_json(point["gain"])) for point in value))


def curve_sizes(shots: int, config: CurveConfig) -> list[int]:
    """The numbers of shots to measure where the largest member has `shots`; the last one is all of them.

    >>> curve_sizes(100, CurveConfig()), curve_sizes(0, CurveConfig())
    ([4, 16, 64, 100], [])
    """
    return [*(k for k in config.ks if k < shots), shots] if shots else []


def make_curve(gains: Mapping[int, np.ndarray], users: np.ndarray, rng: np.random.Generator) -> ShotCurve:
    """The curve from what each K gains.

    Args:
        gains: K → gain per question, float64 [n].
        users: int [n], who asked.
        rng: draws the users of the intervals.
    """
    return ShotCurve(tuple(CurvePoint(k, paired_bootstrap(gains[k], users, rng)) for k in sorted(gains)) if len(users) else ())
