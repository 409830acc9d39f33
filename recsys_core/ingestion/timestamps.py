"""Timestamps as shops write them, turned into UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from recsys_core.schema import PSEUDO_DAY, UTC

# date, HH:MM, :SS, fraction, zone; everything after the date is optional
ISO = (r"^\s*(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?([.,]\d{1,6})?\d*)?"
       r"\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?\s*$")
NUMBER = r"^\s*-?\d+(\.\d+)?\s*$"
# Epochs by magnitude: seconds stay below 1e11 until the year 5138, milliseconds below 1e14, …
EPOCH_UNITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
LATEST_EPOCH_US = 250_000_000_000_000_000  # year 9892: larger values are no timestamps
MOST_PSEUDO_EVENTS = 80_000  # one a second, so that they fit into the pseudo-day


def parse_timestamps(values: pl.Series, time_zone: str, text_format: str | None = None) -> pl.Series:
    """Any spelling of a point in time as UTC microseconds; what cannot be read becomes null.

    Args:
        values: ISO 8601 text with or without a zone (mixed is fine), epoch seconds, milliseconds,
            microseconds or nanoseconds (numbers or text), dates, datetimes.
        time_zone: the shop's IANA zone, for values without one. Of the two meanings of a local time
            that happens twice in autumn the earlier is taken; one that never happens becomes null.
        text_format: a strptime format for text that is not ISO.

    >>> parse_timestamps(pl.Series(["2017-07-01 08:00:00", "2017-07-01T08:00Z"]), "Europe/London").to_list()
    ... # doctest: +NORMALIZE_WHITESPACE
    [datetime.datetime(2017, 7, 1, 7, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')),
     datetime.datetime(2017, 7, 1, 8, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    frame = pl.DataFrame({"value": values})
    dtype = values.dtype
    value = pl.col("value")
    if isinstance(dtype, pl.Datetime):
        moment = value.dt.convert_time_zone("UTC") if dtype.time_zone else _localised(value, time_zone)
    elif dtype == pl.Date:
        moment = _localised(value.cast(pl.Datetime("us")), time_zone)
    elif dtype.is_numeric():
        moment = _from_epoch(value)
    elif dtype == pl.String and text_format:
        moment = _localised(value.str.to_datetime(text_format, time_unit="us", strict=False), time_zone)
    elif dtype == pl.String:
        number = pl.when(value.str.contains(NUMBER)).then(value.str.strip_chars())
        moment = pl.coalesce(_from_iso(value, time_zone), _from_epoch(number.cast(pl.Float64, strict=False)))
    else:
        moment = pl.lit(None)
    return frame.select(moment.cast(UTC).alias(values.name)).to_series()


def local_day(timestamps: pl.Expr, time_zone: str) -> pl.Expr:
    """The shop's calendar day of a UTC timestamp."""
    return timestamps.dt.convert_time_zone(time_zone).dt.date()


def pseudo_timestamps(users: pl.Series, positions: pl.Series | None) -> pl.Series:
    """Timestamps for events that only have an order.

    A user's last event is stamped with the last second of `schema.PSEUDO_DAY`, each earlier one a
    second before; null marks the oldest events of a user who has too many for one day.

    Args:
        users: a user per event. positions: what a user's events are ordered by (ties, and None:
            the order of the rows).
    """
    end = datetime.combine(date.fromisoformat(PSEUDO_DAY), datetime.min.time()) + timedelta(days=1)
    frame = pl.DataFrame({"user": users}).with_row_index("row").with_columns(
        (pl.lit(0.0) if positions is None else positions.cast(pl.Float64)).alias("position"))
    seconds_before_end = frame.sort("user", "position", "row").select(
        "row", (pl.len() - pl.int_range(pl.len())).over("user").alias("back")).sort("row")["back"]
    return seconds_before_end.to_frame().select(
        pl.when(pl.col("back") <= MOST_PSEUDO_EVENTS)
        .then((pl.lit(end) - pl.duration(seconds="back")).dt.replace_time_zone("UTC"))
        .cast(UTC).alias("timestamp")).to_series()


def _localised(naive: pl.Expr, time_zone: str) -> pl.Expr:
    return naive.cast(pl.Datetime("us")).dt.replace_time_zone(
        time_zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _from_iso(text: pl.Expr, time_zone: str) -> pl.Expr:
    parts = text.str.extract_groups(ISO)
    day, clock, seconds, fraction, zone = (parts.struct.field(str(n)) for n in range(1, 6))
    naive = pl.concat_str(
        day, pl.lit("T"), clock.fill_null("00:00"), seconds.fill_null(":00"),
        fraction.str.replace(",", ".", literal=True).fill_null(".0"),
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    offset = zone.str.extract_groups(r"^([+-])(\d{2}):?(\d{2})?$")
    minutes = (offset.struct.field("2").cast(pl.Int64) * 60
               + offset.struct.field("3").cast(pl.Int64).fill_null(0))
    shift = pl.duration(minutes=pl.when(offset.struct.field("1") == "-").then(-minutes)
                        .otherwise(minutes).fill_null(0))
    return pl.when(zone.is_null()).then(_localised(naive, time_zone)).otherwise(
        (naive - shift).dt.replace_time_zone("UTC"))


def _from_epoch(number: pl.Expr) -> pl.Expr:
    value, micros = number.cast(pl.Float64), number.cast(pl.Float64) / 1_000  # nanoseconds
    for limit, factor in reversed(EPOCH_UNITS):
        micros = pl.when(value.abs() < limit).then(value * factor).otherwise(micros)
    micros = pl.when(value.is_finite() & (micros.abs() < LATEST_EPOCH_US)).then(micros.round())
    return micros.cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
