"""Which days a segment learns from, is gated on, and is reported on.

Every segment gets three windows in a row, `support | gate | report`, and a *twin*: a base model
that has seen nothing from `support_start` on. One global cut-off per window; a scene is judged
inside its own dates, every other segment on the newest days.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from recsys_core.ingestion.config import SegmentSpec

DAY = 86_400
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
        return {BASE: common} | {s.name: Window(s.name, *_bounds(common)) for s in segments if s.kind != "scene"}
    zone = ZoneInfo(time_zone)
    end = _local_midnight(last, zone, days=1)
    start = _local_midnight(first, zone)
    scale = min(1.0, (end - start) * (1 - config.min_train_share) / DAY
                / (config.support_days + config.gate_days + config.report_days))
    length = [max(DAY, round(days * scale) * DAY)
              for days in (config.report_days, config.gate_days, config.support_days, config.validation_days)]
    report, gate = end - length[0], end - length[0] - length[1]
    support = gate - length[2]
    plan = {BASE: Window(BASE, support - length[3], support, gate, report, end)}
    for segment in segments:
        window = Window(segment.name, *_bounds(plan[BASE])) if segment.kind != "scene" \
            else _scene_window(segment, start, end, length[3], zone)
        if window is not None:
            plan[segment.name] = window
    return plan


def _bounds(window: Window) -> tuple[int, int, int, int, int]:
    return (window.validation_start, window.support_start, window.gate_start, window.report_start,
            window.report_end)


def _scene_window(segment: SegmentSpec, start: int, end: int, validation: int, zone: ZoneInfo) -> Window | None:
    """Split a scene's own days 40 / 30 / 30 into support, gate and report."""
    opens = int(datetime.combine(segment.start, time(), zone).timestamp())
    closes = min(end, int(datetime.combine(segment.end + timedelta(days=1), time(), zone).timestamp()))
    days = (closes - opens) // DAY
    if days < 3 or opens - validation < start + validation:
        return None
    gate = opens + max(1, round(days * 0.4)) * DAY
    report = gate + max(1, round(days * 0.3)) * DAY
    return Window(segment.name, opens - validation, opens, gate, report, closes)


def _local_midnight(second: int, zone: ZoneInfo, days: int = 0) -> int:
    day = datetime.fromtimestamp(second, zone).date() + timedelta(days=days)
    return int(datetime.combine(day, time(), zone).timestamp())
