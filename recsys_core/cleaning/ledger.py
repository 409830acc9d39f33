"""Double entry: whether every row that was delivered ended in exactly one place, counted anew from the tables.

It shares no code with what cleans: rows are told apart by what they say, and a day's drops are gathered by their timestamps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from recsys_core.schema import RAW_EVENTS

# What cleaning leaves as it was; the other columns it may normalise, mask or fill in.
KEPT = ("user_id", "item_id", "timestamp", "price", "quantity")


@dataclass(frozen=True)
class DayLedger:
    """What became of a day's rows: delivered + double_counted = clean + set_aside + late + duplicates + lost.

    Args:
        delivered: rows of all drops that are made into this day.
        clean: those that are trusted.
        set_aside: those in quarantine for another reason than lateness.
        late: those in quarantine as late.
        duplicates: copies of another of these rows.
        lost: distinct rows that are nowhere.
        double_counted: rows beyond those that were delivered.
    """

    delivered: int
    clean: int
    set_aside: int
    late: int
    duplicates: int
    lost: int
    double_counted: int


def count_day(raw: Mapping[date, pl.LazyFrame], day: date, events: pl.LazyFrame, quarantined: pl.LazyFrame, time_zone: str,
              lateness_days: int) -> DayLedger:
    """Count one day's rows on both sides.

    Args:
        raw: day of the drop → `schema.RAW_EVENTS`, of all drops from `lateness_days` before the day to as many after it.
        day: a day that has a drop.
        events: `schema.CLEAN_EVENTS` of that day.
        quarantined: `schema.QUARANTINED_EVENTS` of that day.
        time_zone: of local days.
        lateness_days: events that come later than that stay with their drop, as late.
    """
    rows = pl.concat([_made_into(day, drop, frame, sorted(raw), time_zone, lateness_days) for drop, frame in sorted(raw.items())
                      if abs((drop - day).days) <= lateness_days])
    said = [name for name in RAW_EVENTS if name != "source"]
    came = rows.select(said).group_by(said).len().select(*_key(), "len").group_by(KEPT).agg(
        pl.len().alias("distinct"), pl.col("len").sum().alias("delivered"))
    out = pl.concat([events.select(*_key(), late=pl.lit(None, pl.Boolean)),
                     quarantined.select(*_key(), late=pl.col("reason") == "late")])
    made = out.group_by(KEPT).agg(clean=pl.col("late").is_null().sum(), late=pl.col("late").fill_null(False).sum(),
                                  set_aside=(~pl.col("late")).fill_null(False).sum())
    both = came.join(made, on=KEPT, how="full", nulls_equal=True, coalesce=True).fill_null(0)
    over = pl.col("clean") + pl.col("late") + pl.col("set_aside") - pl.col("distinct").cast(pl.Int64)
    total = both.select(
        *(pl.col(name).sum() for name in ("delivered", "clean", "set_aside", "late")),
        duplicates=(pl.col("delivered") - pl.col("distinct")).sum(), lost=(-over).clip(lower_bound=0).sum(),
        double_counted=over.clip(lower_bound=0).sum()).collect()
    return DayLedger(**total.row(0, named=True))


def _key() -> list[pl.Expr]:
    ids = [pl.col(name).str.strip_chars().replace("", None) for name in KEPT[:2]]
    return [*ids, pl.col("timestamp"), *(pl.col(name).fill_nan(None) for name in KEPT[3:])]


def _made_into(day: date, drop: date, rows: pl.LazyFrame, drops: list[date], time_zone: str, lateness_days: int) -> pl.LazyFrame:
    """The rows of a drop that belong to `day`: those of open days go to their local day or the next with a drop, others stay."""
    local = pl.col("timestamp").dt.convert_time_zone(time_zone).dt.date()
    open_days = [drop - timedelta(days=back) for back in range(lateness_days + 1)]
    moved = {one: drops[bisect_left(drops, one)] for one in open_days}
    return rows.filter(local.replace_strict(moved, default=drop, return_dtype=pl.Date) == day)
