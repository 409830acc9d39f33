"""Timestamps in every spelling, checked against UTC moments worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from recsys_core.ingestion.timestamps import (
    MOST_PSEUDO_EVENTS,
    local_day,
    parse_timestamps,
    pseudo_timestamps,
)


@pytest.mark.parametrize(("text", "moment"), [
    ("2017-01-01T08:00:00Z", datetime(2017, 1, 1, 8, tzinfo=UTC)),
    ("2017-01-01 08:00:00", datetime(2017, 1, 1, 13, tzinfo=UTC)),             # New York winter: UTC-5
    ("2017-07-01 08:00", datetime(2017, 7, 1, 12, tzinfo=UTC)),                # summer: UTC-4
    ("2017-07-01", datetime(2017, 7, 1, 4, tzinfo=UTC)),
    ("2017-01-01T08:00:00+05:30", datetime(2017, 1, 1, 2, 30, tzinfo=UTC)),
    ("2017-01-01T08:00:00-0530", datetime(2017, 1, 1, 13, 30, tzinfo=UTC)),
    ("2019-10-01 00:00:00 UTC", datetime(2019, 10, 1, tzinfo=UTC)),
    ("2017-01-01T08:00:00.123456789Z", datetime(2017, 1, 1, 8, 0, 0, 123456, tzinfo=UTC)),
    ("1483257600", datetime(2017, 1, 1, 8, tzinfo=UTC)),
    ("1483257600.0", datetime(2017, 1, 1, 8, tzinfo=UTC)),
    ("1483257600000", datetime(2017, 1, 1, 8, tzinfo=UTC)),
    ("1483257600000000", datetime(2017, 1, 1, 8, tzinfo=UTC)),
    ("2017-11-05 01:30:00", datetime(2017, 11, 5, 5, 30, tzinfo=UTC)),         # twice: the earlier
    ("2017-03-12 02:30:00", datetime(2017, 3, 12, 7, 30, tzinfo=UTC)),         # never happened: winter's clock
    ("2024-02-01 9:05:00", datetime(2024, 2, 1, 14, 5, tzinfo=UTC)),
    ("2024-2-1 8:59", datetime(2024, 2, 1, 13, 59, tzinfo=UTC)), ("2024/02/01", datetime(2024, 2, 1, 5, tzinfo=UTC)),
    ("2024.02.01 10:00:00,5", datetime(2024, 2, 1, 15, 0, 0, 500000, tzinfo=UTC)),
    ("2024/02/01 9:05 PM", datetime(2024, 2, 2, 2, 5, tzinfo=UTC)),
    ("2024/02/01 12:05 am", datetime(2024, 2, 1, 5, 5, tzinfo=UTC)),
    ("2024/02/01 10:00:00 +0100", datetime(2024, 2, 1, 9, tzinfo=UTC)), ("2024/13/01", None), ("2024/02/01 13:00 PM", None),
    ("31/01/2024 10:00", datetime(2024, 1, 31, 15, tzinfo=UTC)), ("01/31/2024 10:00", datetime(2024, 1, 31, 15, tzinfo=UTC)),
    ("1.7e9", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)), ("1.7E+09", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ("2024-02-29", datetime(2024, 2, 29, 5, tzinfo=UTC)), ("2023-02-29", None),
    ("2017-02-30", None), ("yesterday", None), ("2017-01-01T25:00:00", None), ("inf", None), (None, None),
])
def test_text(text, moment):
    values = pl.Series("at", [text, "2017-01-01"], pl.String)
    parsed = parse_timestamps(values, "America/New_York")
    assert parsed.dtype == pl.Datetime("us", "UTC") and parsed.name == "at"
    assert parsed[0] == moment


def test_other_types():
    naive = pl.Series([datetime(2017, 7, 1, 8)])
    assert parse_timestamps(naive, "Europe/London")[0] == datetime(2017, 7, 1, 7, tzinfo=UTC)
    zoned = naive.dt.replace_time_zone("Asia/Tokyo")
    assert parse_timestamps(zoned, "Europe/London")[0] == datetime(2017, 6, 30, 23, tzinfo=UTC)
    assert parse_timestamps(pl.Series([date(2017, 7, 1)]), "UTC")[0] == datetime(2017, 7, 1, tzinfo=UTC)
    assert parse_timestamps(pl.Series([1483257600]), "UTC")[0] == datetime(2017, 1, 1, 8, tzinfo=UTC)
    assert parse_timestamps(pl.Series([float("nan"), 1e30]), "UTC").null_count() == 2
    assert parse_timestamps(pl.Series([True]), "UTC").null_count() == 1


def test_own_format():
    parsed = parse_timestamps(pl.Series(["12/1/2010 8:26", "x"]), "Europe/London", "%m/%d/%Y %H:%M")
    assert parsed.to_list() == [datetime(2010, 12, 1, 8, 26, tzinfo=UTC), None]


@pytest.mark.parametrize(("text", "text_format", "moment"), [
    ("01/Feb/2024:10:00:00 +0000", "%d/%b/%Y:%H:%M:%S %z", datetime(2024, 2, 1, 10, tzinfo=UTC)),
    ("2024-02-01 10:00 UTC", "%Y-%m-%d %H:%M %Z", datetime(2024, 2, 1, 10, tzinfo=UTC)),
    ("2024-02-01T10:00:00Z", "%Y-%m-%dT%H:%M:%SZ", datetime(2024, 2, 1, 10, tzinfo=UTC)),
    ("1706781600", "%s", datetime(2024, 2, 1, 10, tzinfo=UTC)),
    ("2024-02-01 10", "%Y-%m-%d %H", datetime(2024, 2, 1, 15, tzinfo=UTC)),
    ("02/01/2024", "%m/%d/%Y", datetime(2024, 2, 1, 5, tzinfo=UTC)),
])
def test_formats_and_the_zones_they_say(text, text_format, moment):
    assert parse_timestamps(pl.Series([text]), "America/New_York", text_format).to_list() == [moment]


def test_numbers_in_a_format():
    for values in (pl.Series([20240201]), pl.Series([20240201.0]), pl.Series([b"20240201"])):
        assert parse_timestamps(values, "UTC", "%Y%m%d")[0] == datetime(2024, 2, 1, tzinfo=UTC)


def test_compact_dates():
    for values in (["20240201", "20240229"], [20240201, 20240229], ["20240201T000000", "20240229"], [20240201000000, 20240229]):
        assert parse_timestamps(pl.Series(values), "UTC").dt.day().to_list() == [1, 29]
    assert parse_timestamps(pl.Series([20240201, 20249999]), "UTC").dt.year().to_list() == [1970, 1970]  # not all are dates


@pytest.mark.parametrize(("zone", "day", "hour"), [
    ("America/Sao_Paulo", date(2017, 10, 15), 3), ("Asia/Beirut", date(2023, 3, 26), 22)])
def test_days_without_a_midnight_keep_their_events(zone, day, hour):
    for values in (pl.Series([day]), pl.Series([day.isoformat()]), pl.Series([datetime(day.year, day.month, day.day)])):
        moments = parse_timestamps(values, zone)
        assert moments[0].hour == hour and moments.to_frame("at").select(local_day(pl.col("at"), zone)).item() == day


def test_moments_beyond_the_calendar_are_none():
    for unit in ("ms", "us", "ns"):
        values = pl.Series([2**62, -2**62, 0]).cast(pl.Datetime(unit))
        assert parse_timestamps(values, "Asia/Tokyo").is_null().to_list()[:2] == [unit != "ns"] * 2


def test_local_day_follows_the_shop():
    frame = pl.DataFrame({"at": parse_timestamps(pl.Series(["2018-01-01T04:01:20Z"]), "UTC")})
    assert frame.select(local_day(pl.col("at"), "America/New_York")).item() == date(2017, 12, 31)


def test_pseudo_timestamps_count_back_from_the_end_of_the_day():
    stamps = pseudo_timestamps(pl.Series(["a", "b", "a", "a"]), pl.Series([2, 0, 9, 1]))
    assert [str(stamp)[:19] for stamp in stamps] == [
        "2000-01-01 23:59:58", "2000-01-01 23:59:59", "2000-01-01 23:59:59", "2000-01-01 23:59:57"]


def test_pseudo_timestamps_fall_back_on_row_order():
    ties = pseudo_timestamps(pl.Series(["a", "a"]), pl.Series([5, 5]))
    rows = pseudo_timestamps(pl.Series(["a", "a"]), None)
    assert ties.to_list() == rows.to_list() and rows[0] < rows[1]


def test_too_many_events_of_one_user_keep_the_newest():
    n = MOST_PSEUDO_EVENTS + 2
    stamps = pseudo_timestamps(pl.Series(["a"] * n), pl.Series(range(n)))
    assert stamps.null_count() == 2 and stamps[:2].null_count() == 2
    assert str(stamps.drop_nulls().dt.date().unique().to_list()) == "[datetime.date(2000, 1, 1)]"
