"""The bundle's gate: is a challenger good enough to become the champion? Fails closed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from recsys_core.metrics import Interval


class BundleGateConfig(BaseModel, frozen=True, extra="forbid"):
    """What a bundle must show on the gate window."""

    metric: str = Field("ndcg@10", description="the metric judged")
    baselines: tuple[str, ...] = Field(("popularity", "personal_frequency", "item_knn"), min_length=1,
                                       description="each must be beaten, its interval above zero")
    floor: float = Field(0.001, ge=0, description="the metric a first model must exceed whatever it beats")
    tolerance: float = Field(0.05, ge=0, lt=1, description="share of the metric that may be lost against "
                                                           "the champion, at the interval's low end")


@dataclass(frozen=True)
class GateVerdict:
    """Whether a bundle may be promoted; `reasons` has one phrase per condition, failures first."""

    passed: bool
    reasons: tuple[str, ...]


def bundle_gate(challenger_metrics: Mapping[str, float], champion: Interval | None,
                baselines: Mapping[str, Interval], config: BundleGateConfig, *, first: bool,
                faults: Sequence[str] = ()) -> GateVerdict:
    """Judge a challenger on rows that neither it nor the champion was trained on.

    A challenger trained through a newer day must not be proven better than the champion, which it
    mostly equals; it must be shown not to be worse by more than the tolerance (non-inferiority).

    Args:
        challenger_metrics: its means on the gate rows.
        champion: the paired difference challenger − champion per row, the champion re-scored on the same rows.
        baselines: the paired difference challenger − baseline, by the baseline's name.
        config: what it must show.
        first: there is no champion yet; otherwise a missing comparison refuses.
        faults: a phrase per golden request that its files answer otherwise than what was trained.

    >>> better = Interval(0.02, 0.01, 0.03, 0.001, 500, 200)
    >>> bundle_gate({"ndcg@10": 0.08}, None, {"popularity": better},
    ...             BundleGateConfig(baselines=("popularity",)), first=True).passed
    True
    """
    value = challenger_metrics.get(config.metric, math.nan)
    if not _finite(value):
        return GateVerdict(False, (f"{config.metric} is missing or not finite",))
    checks = [(False, fault) for fault in faults] or [(True, "answers its golden requests as trained")]
    checks += [_over_baseline(name, baselines.get(name)) for name in config.baselines]
    if first:
        checks.append((value > config.floor, f"{config.metric} {value:.4f}, the floor is {config.floor}"))
    else:
        checks.append(_over_champion(champion, config.tolerance * value))
    failed = [reason for passed, reason in checks if not passed]
    return GateVerdict(not failed, tuple(failed + [reason for passed, reason in checks if passed]))


def _over_baseline(name: str, gain: Interval | None) -> tuple[bool, str]:
    if gain is None or not all(map(_finite, (gain.mean, gain.low))):
        return False, f"no finite comparison with {name}"
    verb = "beats" if gain.low > 0 else "not proven better than"
    return gain.low > 0, f"{verb} {name} {_show(gain)}"


def _over_champion(gain: Interval | None, allowed: float) -> tuple[bool, str]:
    if gain is None or not all(map(_finite, (gain.mean, gain.low))):
        return False, "the champion was not re-scored on the same rows"
    passed = gain.low >= -allowed
    verb = "holds" if passed else "may lose more than allowed"
    return passed, f"{verb} against the champion {_show(gain)}, {allowed:.4f} allowed"


def _show(gain: Interval) -> str:
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
