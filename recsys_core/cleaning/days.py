"""From drops to days: an event that arrives late still ends in the day it happened on.

Day D is made of the rows that say D in the drops D … D + lateness; a day without a drop of its own
goes with the next drop, and rows of a closed, future or unknown day stay with their own drop (and
are set aside). So every row has exactly one day, and a day comes out the same whether it is made
alone or in a year's run. An id that says something else on another day is looked for in the drops
of the same stretch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from recsys_core.cleaning.aside import SetAside
from recsys_core.cleaning.events import CleanedEvents, CleaningConfig, clean_events


def clean_days(raw: Mapping[str, pl.LazyFrame], days: Sequence[str], known_items: pl.Series,
               config: CleaningConfig) -> Iterator[tuple[str, CleanedEvents]]:
    """Clean the asked days one by one, in order, reading every drop once.

    Args:
        raw: day of the drop (ISO) → `schema.RAW_EVENTS`; the asked days' drops and those up to
            `config.lateness_days` before and after them. Days without a drop are absent.
        days: the days to make (ISO); those without a drop are left out.
        known_items: String, the ids of the clean catalogue.
        config: thresholds and time zone.

    Yields:
        (day, its cleaned events).

    Raises:
        DataError: after the last day, if a day or a file has too much set aside (see `SetAside`).
    """
    aside = SetAside(config.max_set_aside, known_items)
    lateness = timedelta(days=config.lateness_days)
    drops = sorted(date.fromisoformat(key) for key in raw)
    waiting: dict[date, list[pl.DataFrame]] = {day: [] for day in drops if day.isoformat() in set(days)}
    near: dict[date, list[tuple[date, pl.DataFrame]]] = {}  # drop → its rows by their day, as long as a waiting day may ask
    for drop in drops:
        rows = raw[drop.isoformat()].collect(engine="in-memory")
        near[drop] = [(day, part) for (day,), part in _by_target(rows, drop, drops, config)]
        for day, part in near[drop]:
            if day in waiting:
                waiting[day].append(part)
        last = drop == drops[-1]
        for day in [day for day in waiting if last or day + lateness <= drop]:
            together = pl.concat(waiting.pop(day) or [rows.clear()], how="vertical")  # all of its rows may be late
            elsewhere = _with_its_ids(together, day, {at: near[at] for at in near if abs(at - day) <= lateness})
            cleaned = clean_events(together, known_items, config, day, elsewhere)
            aside.add(day.isoformat(), together, cleaned.quarantined)
            yield day.isoformat(), cleaned
        near = {at: parts for at, parts in near.items() if waiting and at >= min(waiting) - lateness}
    aside.check()


def _with_its_ids(rows: pl.DataFrame, day: date, near: Mapping[date, list[tuple[date, pl.DataFrame]]]) -> pl.DataFrame:
    """Rows of the drops around a day that are made with another day and bear the id of one of its rows."""
    ids = rows["event_id"].drop_nulls().unique()
    return pl.concat([rows.clear(), *(part.filter(pl.col("event_id").is_in(ids.implode())) for parts in near.values()
                                      for other, part in parts if other != day)])


def _by_target(rows: pl.DataFrame, drop: date, drops: Sequence[date], config: CleaningConfig
               ) -> Iterable[tuple[tuple[date], pl.DataFrame]]:
    """Split a drop's rows by the day they are made with."""
    local = pl.col("timestamp").dt.convert_time_zone(config.time_zone).dt.date()
    open_days = [drop - timedelta(days=back) for back in range(config.lateness_days + 1)]
    made_with = {day: drops[bisect_left(drops, day)] for day in open_days}
    target = local.replace_strict(made_with, default=drop, return_dtype=pl.Date)
    parts = rows.with_columns(target.alias("_day")).partition_by(
        "_day", as_dict=True, include_key=False, maintain_order=True)
    return [((day,), part) for (day,), part in parts.items()]
