"""The gate: does a segment's adapter earn its place? Judged alone, on rows it has never seen.

An adapter is promoted only if, on the gate window, it beats *every* rival: the base, the placebo
(as many shots from outside the segment), the incumbent, a model of the same shots from scratch,
and the segment's popularity. Beating all of them is an intersection–union test, so its p-value is
the largest of the single ones (Berger 1982); these are Holm-corrected over the segments judged.
Missing, NaN or too few rows: refused.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.evaluation.bootstrap import holm, minimum_detectable_effect, paired_bootstrap

REQUIRED = ("base", "placebo", "from_scratch", "segment_popularity")
RIVALS = (*REQUIRED, "incumbent")  # the first time a segment is judged it has no incumbent


class GateConfig(BaseModel, frozen=True, extra="forbid"):
    """What an adapter must show."""

    metric: str = Field("ndcg@10", description="the metric judged")
    level: float = Field(0.05, gt=0, lt=0.5, description="family-wise error over all segments")
    min_queries: int = Field(30, ge=1, description="fewer gate queries than this is no evidence")
    min_users: int = Field(10, ge=2)


@dataclass(frozen=True)
class Trial:
    """One segment's evidence on the gate window; `p_value` is uncorrected, 1.0 where unproven."""

    segment: str
    p_value: float
    toughest: str
    gains: dict[str, dict]
    n: int
    users: int
    minimum_detectable: float | None
    reason: str

    def to_dict(self) -> dict:
        return asdict(self)


def no_trial(segment: str, reason: str) -> Trial:
    """A segment that cannot be judged, and why; it serves the base."""
    return Trial(segment, 1.0, "", {}, 0, 0, None, reason)


def try_adapter(segment: str, scores: dict[str, np.ndarray], users: np.ndarray, config: GateConfig,
                rng: np.random.Generator) -> Trial:
    """Compare the adapter with each rival on the same queries.

    Args:
        scores: per-query metric float64 [n] of "adapted" and of every rival; only the incumbent may be absent.
        users: int [n], the clusters of the bootstrap.
    """
    n, distinct = len(users), len(np.unique(users))
    if n < config.min_queries or distinct < config.min_users:
        return no_trial(segment, f"no evidence: {n} gate queries of {distinct} users "
                                 f"(needs {config.min_queries} of {config.min_users})")
    missing = [rival for rival in REQUIRED if rival not in scores]
    if missing:
        return no_trial(segment, f"no {missing[0].replace('_', ' ')} to compare with: the gate fails closed")
    gains, worst, toughest = {}, 0.0, ""
    for rival in [r for r in RIVALS if r in scores]:
        difference = scores["adapted"] - scores[rival]
        if not np.isfinite(difference).all():
            return no_trial(segment, f"a metric of {rival} is not finite: the gate fails closed")
        interval = paired_bootstrap(difference, users, rng)
        gains[rival] = {"gain": interval.mean, "low": interval.low, "high": interval.high, "p": interval.p_value}
        if interval.p_value >= worst:
            worst, toughest = interval.p_value, rival
    detectable = minimum_detectable_effect(scores["adapted"] - scores["base"], users)
    return Trial(segment, float(worst), toughest, gains, n, distinct,
                 float(detectable) if math.isfinite(detectable) else None, "")


def decide(trials: list[Trial], config: GateConfig) -> dict[str, dict]:
    """Promote or refuse each segment; one segment's failure moves no other one's evidence.

    Returns:
        segment → {decision: promoted | refused, reason, p_holm}.
    """
    judged = {t.segment: t.p_value for t in trials if not t.reason}
    adjusted = holm(judged) if judged else {}
    decisions = {}
    for trial in trials:
        p = adjusted.get(trial.segment, 1.0)
        if trial.reason:
            reason, promoted = trial.reason, False
        elif p <= config.level:
            gain = trial.gains["base"]
            reason = (f"{config.metric} {gain['gain']:+.4f} over the base "
                      f"[{gain['low']:+.4f}, {gain['high']:+.4f}], Holm p = {p:.3g}")
            promoted = True
        else:
            rival = trial.gains[trial.toughest]
            reason = (f"does not pay: not proven better than {trial.toughest.replace('_', ' ')} "
                      f"({rival['gain']:+.4f} [{rival['low']:+.4f}, {rival['high']:+.4f}], Holm p = {p:.3g})")
            promoted = False
        decisions[trial.segment] = {"decision": "promoted" if promoted else "refused", "reason": reason,
                                    "p_holm": float(p)}
    return decisions
