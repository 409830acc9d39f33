"""Which days a segment learns from, is gated on, and is reported on.

Every segment gets three windows in a row, `support | gate | report`, and a *twin*: a base model
that has seen nothing from `support_start` on. One global cut-off per window; a scene is judged
inside its own dates, every other segment on the newest days.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from recsys_core.ingestion.config import SegmentSpec

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
    """One segment's windows; all in seconds since the epoch, each half-open, contiguous."""

    segment: str
    validation_start: int
    support_start: int
    gate_start: int
    report_start: int
    report_end: int

    @property
    def bounds(self) -> tuple[int, int, int, int, int]:
        """All five cuts, ascending."""
        return self.validation_start, self.support_start, self.gate_start, self.report_start, self.report_end

    def to_dict(self) -> dict:
        return asdict(self)


def plan_windows(first: int, last: int, segments: list[SegmentSpec], config: WindowConfig, *,
                 time_zone: str = "UTC", order_only: bool = False) -> dict[str, Window]:
    """Plan the windows of the base and of every segment that can be judged.

    Args:
        first, last: seconds of the shop's first and last positive event.

    Returns:
        name → Window; a scene outside the data, or without enough days before it to train a
        twin, has no entry (it serves the base, with that reason).
    """
    if order_only:
        # Seconds are reverse positions: a user's last step is reported, the one before it gates,
        # the one before that gives the shots.
        end = last + 1
        common = Window(BASE, end - 4, end - 3, end - 2, end - 1, end)
        return {BASE: common} | {s.name: Window(s.name, *common.bounds) for s in segments if s.kind != "scene"}
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
    return plan


def _scene_window(segment: SegmentSpec, start: date, end: date, validation: timedelta,
                  zone: ZoneInfo) -> Window | None:
    """Split a scene's own days 40 / 30 / 30 into support, gate and report."""
    opens, closes = segment.start, min(end, segment.end + timedelta(days=1))
    days = (closes - opens).days
    if days < 3 or opens - validation < start + validation:
        return None
    gate = opens + timedelta(days=max(1, round(days * 0.4)))
    report = gate + timedelta(days=max(1, round(days * 0.3)))
    return _window(segment.name, zone, opens - validation, opens, gate, report, closes)


def _window(name: str, zone: ZoneInfo, *days: date) -> Window:
    """Cuts at local midnights: where clocks change a day is not 86,400 seconds long."""
    return Window(name, *(int(datetime.combine(day, time(), zone).timestamp()) for day in days))
