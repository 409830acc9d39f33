"""The bundle's gate: is a challenger good enough to become the champion? Fails closed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from recsys_core.metrics import Interval, holm


class BundleGateConfig(BaseModel, frozen=True, extra="forbid"):
    """What a bundle must show on the gate window."""

    metric: str = Field("ndcg@10", description="the metric judged")
    baselines: tuple[str, ...] = Field(("popularity", "personal_frequency", "item_knn"), min_length=1,
                                       description="each must be beaten, its interval above zero")
    floor: float = Field(0.001, ge=0, description="the metric a first model must exceed whatever it beats")
    tolerance: float = Field(0.05, ge=0, lt=1, description="share of the metric that may be lost against "
                                                           "the champion, at the interval's low end")
    level: float = Field(0.05, gt=0, lt=0.5, description="family-wise error of calling the challenger worse in a segment")
    segment_queries: int = Field(100, ge=1, description="steps asked per segment, of shoppers without and with their history")
    min_queries: int = Field(30, ge=1, description="fewer questions of a segment than this prove nothing")
    min_users: int = Field(10, ge=2)
    relapse_coverage: float = Field(0.99, gt=0.5, lt=1, description="coverage of the interval that must lie below zero before "
                                                                    "a champion goes back to its predecessor")


@dataclass(frozen=True)
class GateVerdict:
    """What the gates say of a bundle.

    Args:
        outcome: passed; held, where a person must look at it; refused, which a person may overrule; broken, which nobody may.
        reasons: one phrase per condition, failures first.
    """

    outcome: Literal["passed", "held", "refused", "broken"]
    reasons: tuple[str, ...]


def bundle_gate(challenger_metrics: Mapping[str, float], champion: Interval | None,
                baselines: Mapping[str, Interval], config: BundleGateConfig, *, first: bool,
                faults: Sequence[str] = (), losses: Mapping[str, Interval] | None = None,
                unfair: Sequence[str] = ()) -> GateVerdict:
    """Judge a challenger on rows that neither it nor the champion was trained on.

    A challenger trained through a newer day must not be proven better than the champion, which it
    mostly equals; it must be shown not to be worse by more than the tolerance (non-inferiority).
    In a segment it must not be proven worse, the p-values Holm-corrected over all of them. One that is refuses the
    whole bundle: its adapter alone already met the incumbent, so taking the adapter out may cure nothing.

    Args:
        challenger_metrics: its means on the gate rows.
        champion: the paired difference challenger − champion per row, the champion re-scored on the same rows.
        baselines: the paired difference challenger − baseline, by the baseline's name.
        config: what it must show.
        first: there is no champion yet; otherwise a missing comparison refuses.
        faults: a phrase per golden request that its files answer otherwise than what was trained.
        losses: the paired difference champion − challenger by segment and audience, both as they are served.
        unfair: a phrase per group that lacks more than the shop allows.

    >>> better = Interval(0.02, 0.01, 0.03, 0.001, 500, 200)
    >>> bundle_gate({"ndcg@10": 0.08}, None, {"popularity": better},
    ...             BundleGateConfig(baselines=("popularity",)), first=True).outcome
    'passed'
    """
    value = challenger_metrics.get(config.metric, math.nan)
    if not _finite(value):
        return GateVerdict("broken", (f"{config.metric} is missing or not finite", *faults))
    checks = [(False, fault) for fault in faults] or [(True, "answers its golden requests as trained")]
    checks += [_over_baseline(name, baselines.get(name)) for name in config.baselines]
    if first:
        checks.append((value > config.floor, f"{config.metric} {value:.4f}, the floor is {config.floor}"))
    else:
        checks += [_over_champion(champion, config.tolerance * value), *_over_segments(losses or {}, config.level)]
    failed = [reason for passed, reason in checks if not passed]
    outcome: Literal["passed", "held", "refused", "broken"] = \
        "broken" if faults else "refused" if failed else "held" if unfair else "passed"
    return GateVerdict(outcome, tuple([*failed, *unfair, *(reason for passed, reason in checks if passed)]))


def _over_baseline(name: str, gain: Interval | None) -> tuple[bool, str]:
    if gain is None or not all(map(_finite, (gain.mean, gain.low))):
        return False, f"no finite comparison with {name}"
    verb = "beats" if gain.low > 0 else "not proven better than"
    return gain.low > 0, f"{verb} {name} {show_gain(gain)}"


def _over_champion(gain: Interval | None, allowed: float) -> tuple[bool, str]:
    if gain is None or not all(map(_finite, (gain.mean, gain.low))):
        return False, "the champion was not re-scored on the same rows"
    passed = gain.low >= -allowed
    verb = "holds" if passed else "may lose more than allowed"
    return passed, f"{verb} against the champion {show_gain(gain)}, {allowed:.4f} allowed"


def _over_segments(losses: Mapping[str, Interval], level: float) -> list[tuple[bool, str]]:
    """A check per segment that fails, or one that says that none does."""
    finite = {name: loss for name, loss in losses.items() if _finite(loss.mean)}
    failed = [(False, f"in {name}: a metric is not finite") for name in losses if name not in finite]
    adjusted = holm({name: loss.p_value for name, loss in finite.items()})
    failed += [(False, f"worse than the champion in {name}: loses {show_gain(loss)}, Holm p = {adjusted[name]:.3g}")
               for name, loss in finite.items() if adjusted[name] <= level]
    return failed or [(True, f"not proven worse than the champion in any of {len(losses)} segments and audiences")]


def show_gain(gain: Interval) -> str:
    """A difference and its interval, with signs."""
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
