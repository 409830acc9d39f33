"""What is set aside is told, and too much of it stops the run with one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.cleaning import CleaningConfig, clean_days
from recsys_core.errors import DataError

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = "2024-03-01"


def day(*changes: dict, good: int = 20) -> dict[str, pl.LazyFrame]:
    """A drop of `good` events and one event for each change, all of 1 March."""
    rows = [{"user_id": f"u{n}", "item_id": "001", "event_type": "view", "timestamp": NOON + timedelta(minutes=n),
             "source": "drop.csv", **({} if n < good else changes[n - good])} for n in range(good + len(changes))]
    frame = pl.DataFrame(rows, schema={name: schema.RAW_EVENTS[name] for name in (*rows[0], "price")} | {
        name: schema.RAW_EVENTS[name] for change in changes for name in change})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.RAW_EVENTS.items() if name not in frame.columns]
    return {DAY: frame.with_columns(missing).with_columns(
        event_id=pl.concat_str(pl.lit("e"), pl.int_range(pl.len()).cast(pl.String))).select(*schema.RAW_EVENTS).lazy()}


def clean(drops, **config):
    return list(clean_days(drops, sorted(drops), pl.Series(["001", "002"]), CleaningConfig(**config)))


@pytest.mark.parametrize(("change", "words"), [
    ({"event_type": "glance"}, ["8 of 28 events of 2024-03-01", "28.6%", "unknown_event_type 8", "event_type 'glance'",
                                "event_types"]),
    ({"timestamp": None}, ["8 of 28 events of drop.csv", "missing_timestamp 8", "timestamp_format"]),
    ({"price": -1.0}, ["bad_price 8", "'-1.0'", "max_set_aside (0.2)"]),
])
def test_too_much_stops_the_run(change, words):
    with pytest.raises(DataError) as error:
        clean(day(*[change] * 8))
    for word in words:
        assert word in str(error.value)
    assert len(clean(day(*[change] * 8), max_set_aside=0.3)) == 1


@pytest.mark.parametrize("change", [{"user_id": None}, {"item_id": "zz"}])
def test_guests_and_few_records_stop_nothing(change):
    assert len(clean(day(*[change] * (30 if "user_id" in change else 4), good=20 if "user_id" in change else 5))) == 1


def test_tables_that_do_not_meet_are_one_error():
    with pytest.raises(DataError, match=r"20 of 25 events of 2024-03-01 name an item_id that the catalogue lacks "
                                        r"\(unknown_item\), e.g. '1', where the other table has '001' \(one side lost"):
        clean(day(*[{"item_id": "1"}] * 20, good=5), max_set_aside=1)


def test_a_warning_names_share_reasons_and_an_example(caplog):
    clean(day({"item_id": "zz"}))
    assert "1 of 21 events of 2024-03-01 are set aside (4.8%: unknown_item 1), e.g. item_id 'zz'" in caplog.text
    caplog.clear()
    clean(day())
    assert not caplog.text


def test_a_file_of_many_days_is_judged_as_one():
    """Rows without a day come with the first day of a file; they are few beside the whole file."""
    drops = day(*[{"timestamp": None}] * 8)
    later = day(good=60)[DAY].with_columns(pl.col("timestamp") + timedelta(days=1), event_id=pl.lit("f") + pl.col("event_id"))
    with pytest.raises(DataError, match=r"8 of 28 events of drop\.csv"):
        clean({**drops, "2024-03-02": later.with_columns(source=pl.lit("other.csv"))})
    assert len(clean({**drops, "2024-03-02": later})) == 2


def test_a_drop_whose_rows_are_all_late_leaves_its_day_empty():
    drops = day()
    late = day(good=3)[DAY].with_columns(event_id=pl.lit("f") + pl.col("event_id"))
    (first, second) = clean({**drops, "2024-03-02": late})
    assert first[1].events.height == 23 and second[1].events.is_empty()
