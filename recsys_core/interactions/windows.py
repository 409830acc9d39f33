"""Which days a segment learns from, is gated on, and is reported on.

Every segment gets three windows in a row, `support | gate | report`. Its strengths come from the shots before
`support_start` and its trust from the questions of the support window. Each window is asked with the base and the
shots as they were at its start. A scene is judged inside its own dates, everything else on the newest days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from recsys_core.errors import ShopError
from recsys_core.ingestion import SegmentSpec

BASE = "base"  # the windows of the base model itself; also those of every segment that is no scene


class WindowConfig(BaseModel, frozen=True, extra="forbid"):
    """Lengths of the windows; short shops get proportionally shorter ones."""

    support_days: int = Field(28, ge=1)
    gate_days: int = Field(14, ge=1)
    report_days: int = Field(14, ge=1)
    validation_days: int = Field(14, ge=1, description="before each cut-off, for choosing the blend")
    min_train_share: float = Field(0.4, gt=0, lt=1, description="share of the shop's days kept for training")


@dataclass(frozen=True)
class Window:
    """One segment's (or family's) windows; all in seconds since the epoch, each half-open, contiguous.

    Args:
        segment: the segment or family; `BASE` for the base.
        validation_start: the questions from here to `support_start` choose the base's blend.
        support_start: T0: shots are older; from here to T1 trust is learned.
        gate_start: T1: from here to T2 the gate decides.
        report_start: T2: from here to T3 figures are published.
        report_end: T3.
        shots_start: shots are counted from here on; 0 for everything but scenes.
    """

    segment: str
    validation_start: int
    support_start: int
    gate_start: int
    report_start: int
    report_end: int
    shots_start: int = 0

    @property
    def bounds(self) -> tuple[int, int, int, int, int]:
        """The five cuts, ascending, as the constructor takes them after the name."""
        return self.validation_start, self.support_start, self.gate_start, self.report_start, self.report_end

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_windows(first: int, last: int, segments: list[SegmentSpec], config: WindowConfig, *,
                 families: Sequence[str] = (), time_zone: str = "UTC", order_only: bool = False) -> dict[str, Window]:
    """Plan the windows of the base and of every segment and family that can be judged.

    Args:
        first: seconds of the shop's first positive event.
        last: seconds of its last one.
        segments: the shop's segments.
        config: lengths of the windows.
        families: their names.
        time_zone: IANA zone of the shop's days.
        order_only: seconds are positions on the pseudo-day.

    Returns:
        name → Window; a scene outside the data, or without enough days before it to train a
        base, has no entry (it serves the base, with that reason).
    """
    if order_only:
        # Seconds are reverse positions: a user's last step is reported, the one before it gates,
        # the one before that gives the shots.
        after = last + 1
        common = Window(BASE, after - 4, after - 3, after - 2, after - 1, after)
        usual = [*(s.name for s in segments if s.kind != "scene"), *families]
        return {BASE: common} | {name: Window(name, *common.bounds) for name in usual}
    zone = ZoneInfo(time_zone)
    start = datetime.fromtimestamp(first, zone).date()
    end = datetime.fromtimestamp(last, zone).date() + timedelta(days=1)
    scale = min(1.0, (end - start).days * (1 - config.min_train_share)
                / (config.support_days + config.gate_days + config.report_days))
    report, gate, support, validation = (timedelta(days=max(1, round(days * scale))) for days in (
        config.report_days, config.gate_days, config.support_days, config.validation_days))
    opens = end - report - gate - support
    plan = {BASE: _window(BASE, zone, opens - validation, opens, opens + support, end - report, end)}
    for segment in segments:
        window = Window(segment.name, *plan[BASE].bounds) if segment.kind != "scene" \
            else _scene_window(segment, start, end, validation, zone)
        if window is not None:
            plan[segment.name] = window
    return plan | {name: Window(name, *plan[BASE].bounds) for name in families}


def _scene_window(segment: SegmentSpec, start: date, end: date, validation: timedelta,
                  zone: ZoneInfo) -> Window | None:
    """Split a scene's own days 40 / 20 / 20 / 20 into shots, support, gate and report."""
    if segment.start is None or segment.end is None:
        raise ShopError(f"segment {segment.name!r}", "is a scene without start and end", "give both as YYYY-MM-DD")
    opens, closes = segment.start, min(end, segment.end + timedelta(days=1))
    days = (closes - opens).days
    if days < 5 or opens - validation < start + validation:
        return None
    cuts = [opens + timedelta(days=round(days * share)) for share in (0.4, 0.6, 0.8)]
    window = _window(segment.name, zone, opens - validation, *cuts, closes)
    return replace(window, shots_start=_midnight(opens, zone))


def _window(name: str, zone: ZoneInfo, *days: date) -> Window:
    """Cuts at local midnights: where clocks change a day is not 86,400 seconds long."""
    return Window(name, *(_midnight(day, zone) for day in days))


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp())
