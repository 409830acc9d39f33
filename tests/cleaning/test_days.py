"""Late rows end in their own day, whatever range a run covers."""

from datetime import datetime

import polars as pl
import pytest

from recsys_core.cleaning.days import clean_days
from recsys_core.cleaning.events import CleaningConfig
from recsys_core.schema import RAW_EVENTS

ITEMS = pl.Series("item_id", ["a"], dtype=pl.String)
CONFIG = CleaningConfig(time_zone="Europe/London", lateness_days=2)


def drop(*rows: tuple[str, str | None]) -> pl.LazyFrame:
    """A drop of purchases: (event id, UTC timestamp)."""
    frame = pl.DataFrame({
        "event_id": [row[0] for row in rows], "user_id": ["u"] * len(rows),
        "timestamp": [datetime.fromisoformat(row[1]) if row[1] else None for row in rows],
        "event_type": ["purchase"] * len(rows), "item_id": ["a"] * len(rows)})
    frame = frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in RAW_EVENTS.items()
               if name not in frame.columns]
    return frame.with_columns(missing).select(*RAW_EVENTS).lazy()


DROPS = {
    "2024-06-01": drop(("first", "2024-06-01T10:00"), ("night", "2024-06-01T23:30")),  # 00:30 in London
    "2024-06-02": drop(("second", "2024-06-02T10:00"), ("late", "2024-06-01T12:00")),
    "2024-06-04": drop(("fourth", "2024-06-04T10:00"), ("closed", "2024-06-01T13:00"),
                       ("no-drop", "2024-06-03T09:00"), ("unknown", None)),
    "2024-06-05": drop(("fifth", "2024-06-05T10:00"), ("no-drop", "2024-06-03T09:00")),
}


def made(days: list[str], drops: dict[str, pl.LazyFrame] = DROPS) -> dict[str, tuple[list[str], list[tuple]]]:
    return {day: (sorted(cleaned.events["event_id"]),
                  sorted(cleaned.quarantined.select("event_id", "reason").rows()))
            for day, cleaned in clean_days(drops, days, ITEMS, CONFIG)}


def test_every_row_has_one_day_or_one_reason() -> None:
    assert made(["2024-06-01", "2024-06-02", "2024-06-03", "2024-06-04", "2024-06-05"]) == {
        "2024-06-01": (["first", "late"], [("night", "future")]),
        "2024-06-02": (["second"], []),
        "2024-06-04": (["fourth", "no-drop"], [("closed", "late"), ("unknown", "missing_timestamp")]),
        "2024-06-05": (["fifth"], []),
    }


@pytest.mark.parametrize("day", list(DROPS))
def test_a_day_alone_equals_the_day_in_a_range(day: str) -> None:
    assert made([day]) == {day: made(list(DROPS))[day]}


MOVED = {
    "2024-06-01": drop(("first", "2024-06-01T10:00"), ("moved", "2024-06-01T11:00"), ("early", "2024-06-01T23:30")),
    "2024-06-02": drop(("second", "2024-06-02T10:00"), ("early", "2024-06-01T23:30")),  # again, in its own drop
    "2024-06-03": drop(("third", "2024-06-03T10:00"), ("moved", "2024-06-03T11:00"), ("far", "2024-06-03T12:00")),
    "2024-06-09": drop(("ninth", "2024-06-09T10:00"), ("far", "2024-06-09T12:00")),
}


def test_an_id_that_says_something_else_on_a_day_nearby_is_set_aside_on_both() -> None:
    found = made(list(MOVED), MOVED)
    assert found["2024-06-01"] == (["first"], [("early", "future"), ("moved", "conflicting_event_id")])
    assert found["2024-06-02"] == (["early", "second"], [])
    assert found["2024-06-03"] == (["far", "third"], [("moved", "conflicting_event_id")])
    lateness = CONFIG.lateness_days
    for day in MOVED:  # made alone, from the drops that a run of one day reads
        at = datetime.fromisoformat(day)
        near = {other: rows for other, rows in MOVED.items() if abs((datetime.fromisoformat(other) - at).days) <= lateness}
        assert made([day], near) == {day: found[day]}
