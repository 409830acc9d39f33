"""The ledger is counted without the code that cleans, and sees what that would lose or count twice."""

from datetime import date

import polars as pl
import pytest

from recsys_core.cleaning.days import clean_days
from recsys_core.cleaning.ledger import DayLedger, count_day
from tests.cleaning.test_days import CONFIG, ITEMS, drop

COPIED = drop(("first", "2024-06-01T10:00"), ("night", "2024-06-01T23:30"), ("first", "2024-06-01T10:00"))
DROPS = {
    "2024-06-01": COPIED,
    "2024-06-02": drop(("second", "2024-06-02T10:00"), ("late", "2024-06-01T12:00"), ("unknown", None)),
    "2024-06-04": drop(("fourth", "2024-06-04T10:00"), ("closed", "2024-06-01T13:00"), ("no-drop", "2024-06-03T09:00")),
    "2024-06-05": drop(("fifth", "2024-06-05T10:00"), ("no-drop", "2024-06-03T09:00"), ("second", "2024-06-02T10:00")),
}


@pytest.fixture(scope="module")
def cleaned():
    return dict(clean_days(DROPS, list(DROPS), ITEMS, CONFIG))


def ledger(cleaned, day: str, events: pl.DataFrame | None = None) -> DayLedger:
    raw = {date.fromisoformat(one): frame for one, frame in DROPS.items()}
    made = cleaned[day]
    return count_day(raw, date.fromisoformat(day), (made.events if events is None else events).lazy(), made.quarantined.lazy(),
                     CONFIG.time_zone, CONFIG.lateness_days)


def test_every_row_is_in_one_place(cleaned):
    found = {day: ledger(cleaned, day) for day in DROPS}
    assert found == {  # 23:30 in UTC is tomorrow in London: set aside with its own drop; "late" came with the next one
        "2024-06-01": DayLedger(4, 2, 1, 0, 1, 0, 0), "2024-06-02": DayLedger(2, 1, 1, 0, 0, 0, 0),
        "2024-06-04": DayLedger(4, 2, 0, 1, 1, 0, 0), "2024-06-05": DayLedger(2, 1, 0, 1, 0, 0, 0)}
    assert sum(one.delivered for one in found.values()) == sum(frame.collect().height for frame in DROPS.values())
    assert {day: one.duplicates for day, one in found.items()} == {day: made.duplicates for day, made in cleaned.items()}


def test_a_lost_row_and_one_counted_twice_are_seen(cleaned):
    events = cleaned["2024-06-01"].events
    assert ledger(cleaned, "2024-06-01", events.head(1)).lost == 1
    twice = ledger(cleaned, "2024-06-01", pl.concat([events, events.head(1)]))
    assert (twice.lost, twice.double_counted) == (0, 1)
    both = ledger(cleaned, "2024-06-01", pl.concat([events.head(1), events.head(1)]))
    assert (both.lost, both.double_counted) == (1, 1)  # neither hides the other
