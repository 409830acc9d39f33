"""Timestamps as shops write them, turned into UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from recsys_core.schema import PSEUDO_DAY, UTC

CLOCK = (r"(?:[T ]\s*(\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,6})?)\d*(?:\s?([AaPp])\.?[Mm]\.?)?)?"
         r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$")
ISO = (r"^\s*(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?([.,]\d{1,6})?\d*)?"
       r"\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?\s*$")
YEAR_FIRST = r"^\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + CLOCK
YEAR_LAST = r"^\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + CLOCK
COMPACT = r"^\s*((?:19|20)\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:T?([01]\d|2[0-3])([0-5]\d)([0-5]\d))?(Z)?\s*$"
NUMBER = r"^\s*-?\d+(\.\d+)?([eE]\+?\d+)?\s*$"
# Epochs by magnitude: seconds stay below 1e11 until the year 5138, milliseconds below 1e14, …
EPOCH_UNITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
LATEST_EPOCH_US = 250_000_000_000_000_000  # year 9892: larger values are no timestamps
MOST_PSEUDO_EVENTS = 80_000  # one a second, so that they fit into the pseudo-day
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


class AmbiguousDates(ValueError):
    """Dates that are two days: nothing in the column says whether the day or the month comes first."""


def parse_timestamps(values: pl.Series, time_zone: str, text_format: str | None = None) -> pl.Series:
    """Any spelling of a point in time as UTC microseconds; what cannot be read becomes null.

    Args:
        values: ISO 8601 text with or without a zone, year-first dates with other marks, month and day first where a value
            above 12 decides for the column, eight-digit dates where all values are, epoch seconds, milliseconds,
            microseconds or nanoseconds (numbers or text), dates, datetimes. Spellings may be mixed.
        time_zone: the shop's IANA zone, for values without one. Of the two meanings of a local time that happens twice
            in autumn the earlier is taken. One that never happens in spring is read with the clock from before the change.
        text_format: a strptime format for text that is not ISO. A zone in the text is believed.

    Raises:
        ValueError: `text_format` is no format, or (as `AmbiguousDates`) most values are dates in which day and month
            cannot be told apart.

    >>> parse_timestamps(pl.Series(["2017-07-01 08:00:00", "2017-07-01T08:00Z"]), "Europe/London").to_list()
    ... # doctest: +NORMALIZE_WHITESPACE
    [datetime.datetime(2017, 7, 1, 7, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')),
     datetime.datetime(2017, 7, 1, 8, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    dtype = values.dtype
    if text_format and not dtype.is_temporal():
        values = (values.cast(pl.Int64, strict=False) if dtype.is_float() else values).cast(pl.String, strict=False)
    elif dtype in (pl.Binary, pl.Categorical, pl.Enum):
        values = values.cast(pl.String, strict=False)
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        plain = _within_years(values)
        moments = plain.dt.convert_time_zone("UTC") if dtype.time_zone else _localised(plain, time_zone)
    elif dtype == pl.Date:
        moments = _localised(_within_years(values.cast(pl.Datetime("ms"))), time_zone)
    elif dtype == pl.String:
        moments = _by_format(values, time_zone, text_format) if text_format else _from_text(values, time_zone)
    elif dtype.is_numeric():
        digits = values.cast(pl.Int64, strict=False).cast(pl.String)
        moments = _from_compact(digits, time_zone) if _all_compact(digits) else _from_epoch(values)
    else:
        moments = pl.repeat(None, len(values), dtype=UTC, eager=True)
    return moments.cast(UTC).alias(values.name)


def local_day(timestamps: pl.Expr, time_zone: str) -> pl.Expr:
    """The shop's calendar day of a UTC timestamp."""
    return timestamps.dt.convert_time_zone(time_zone).dt.date()


def pseudo_timestamps(users: pl.Series, positions: pl.Series | None) -> pl.Series:
    """Timestamps for events that only have an order.

    A user's last event is stamped with the last second of `schema.PSEUDO_DAY`, each earlier one a
    second before; null marks the oldest events of a user who has too many for one day.

    Args:
        users: a user per event.
        positions: what a user's events are ordered by (ties, and None:
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


def _within_years(values: pl.Series) -> pl.Series:
    """Moments as microseconds, null where a calendar cannot name them."""
    unit = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[values.dtype.time_unit]  # type: ignore[attr-defined]
    inside = (values.to_physical() // unit).is_between(FIRST_SECOND, LAST_SECOND)
    return _where(inside, values).dt.cast_time_unit("us")


def _where(condition: pl.Series, values: pl.Series) -> pl.Series:
    """The values, null where the condition does not hold."""
    return pl.select(pl.when(condition).then(values).alias(values.name)).to_series()


def _localised(naive: pl.Series, time_zone: str) -> pl.Series:
    def located(clock: pl.Series) -> pl.Series:
        return clock.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")

    moments = located(naive)
    skipped = moments.is_null() & naive.is_not_null()
    if skipped.any():  # the clock of the day before knows nothing of the change
        a_day = timedelta(days=1)
        moments = pl.select(pl.when(skipped).then(located(naive - a_day) + a_day).otherwise(moments)).to_series()
    return moments


def _by_format(text: pl.Series, time_zone: str, text_format: str) -> pl.Series:
    """Text in the shop's own format. A zone that the text or the format says is believed."""
    try:
        moments = text.str.to_datetime(text_format, time_unit="us", strict=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if "hour and minute" not in str(error):
            raise ValueError(f"{text_format!r} is no format of a time ({str(error).splitlines()[0][:80]})") from None
        return _by_format(text + " 00", time_zone, text_format + " %M")  # an hour alone
    if moments.dtype.time_zone:  # type: ignore[attr-defined]
        return moments.dt.convert_time_zone("UTC")
    if "%Z" in text_format:
        named = text.filter(moments.is_not_null()).str.contains(r"(?i)\b(UTC|GMT|Z)\b")
        if not named.all():
            raise ValueError(f"{text_format!r} reads names of zones, which only UTC and GMT tell for certain")
    elif "%s" not in text_format and not text_format.endswith(("Z", "UTC", "GMT")):
        return _localised(moments, time_zone)
    return moments.dt.replace_time_zone("UTC")


def _from_text(text: pl.Series, time_zone: str) -> pl.Series:
    moments = _from_iso(text, time_zone)
    unread = moments.is_null() & text.is_not_null()
    if not unread.any():
        return moments
    if _all_compact(text):
        return _from_compact(text, time_zone)
    rest = text.filter(unread)
    number = _where(rest.str.contains(NUMBER), rest.str.strip_chars()).cast(pl.Float64, strict=False)
    found = _from_epoch(number)
    for pattern in (YEAR_FIRST, YEAR_LAST):
        if (mine := rest.str.contains(pattern).fill_null(False)).any():
            dates = rest.filter(mine).str.extract_groups(pattern).struct.unnest()
            dates.columns = ["first", "second", "third", "clock", "half", "zone"]
            order = ("first", "second", "third") if pattern == YEAR_FIRST else _order(dates, len(text) - text.null_count())
            if order:
                found = found.scatter(mine.arg_true(), _from_parts(dates, order, time_zone))
    return moments.scatter(unread.arg_true(), found)


def _order(dates: pl.DataFrame, given: int) -> tuple[str, str, str] | None:
    """Where year, month and day stand, if a value above 12 says it for all.

    Raises:
        AmbiguousDates: nothing, or one value against another, and most values of the column are such dates.
    """
    first, second = (dates[name].cast(pl.Int64) for name in ("first", "second"))
    day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
    if day_first != month_first:
        return ("third", "second", "first") if day_first else ("third", "first", "second")
    if (first == second).all():
        return ("third", "first", "second")
    if 2 * dates.height >= given:
        raise AmbiguousDates("some dates have the day first and some the month" if day_first else
                             "nothing says whether the day or the month comes first")
    return None


def _from_parts(dates: pl.DataFrame, order: tuple[str, str, str], time_zone: str) -> pl.Series:
    """Dates in groups of text: first, second, third (in `order` year, month, day), clock, half of the day, zone."""
    clock = pl.col("clock").fill_null("0:00").str.replace(",", ".", literal=True)
    hour, rest = clock.str.extract(r"^(\d{1,2})").cast(pl.Int64), clock.str.extract(r"^\d{1,2}:(.*)$")
    half = pl.col("half").str.to_lowercase()
    hour = pl.when(half.is_null()).then(hour).when(hour.is_between(1, 12)).then(
        hour % 12 + pl.when(half == "p").then(12).otherwise(0))
    day = pl.concat_str(*(pl.col(name).str.zfill(2) for name in order), separator="-")
    rest = pl.when(rest.str.contains(":", literal=True)).then(rest).otherwise(rest + ":00")
    written = pl.concat_str(day, pl.lit("T"), hour.cast(pl.String).str.zfill(2), pl.lit(":"), rest)
    naive = dates.select(written.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)).to_series()
    return _zoned(naive, dates["zone"], time_zone)


def _all_compact(text: pl.Series) -> bool:
    """Every value is a date in eight digits, perhaps with a clock in six more: no epoch looks like that all through."""
    given = text.drop_nulls()
    return bool(len(given)) and bool(given.str.contains(COMPACT).all())


def _from_compact(text: pl.Series, time_zone: str) -> pl.Series:
    parts = text.str.extract_groups(COMPACT).struct.unnest()
    year, month, day, hour, minute, second, zone = (pl.col(name) for name in parts.columns)
    written = pl.concat_str(year, month, day, hour.fill_null("00"), minute.fill_null("00"), second.fill_null("00"))
    naive = parts.select(written.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False)).to_series()
    return _zoned(naive, parts.select(zone).to_series(), time_zone)


def _from_iso(text: pl.Series, time_zone: str) -> pl.Series:
    parts = text.to_frame("value").select(pl.col("value").str.extract_groups(ISO)).to_series()
    day, clock, seconds, fraction, zone = (pl.col(str(n)) for n in range(1, 6))
    frame = parts.struct.unnest()
    naive = frame.select(pl.concat_str(
        day, pl.lit("T"), clock.fill_null("00:00"), seconds.fill_null(":00"),
        fraction.str.replace(",", ".", literal=True).fill_null(".0"),
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)).to_series()
    return _zoned(naive, frame.select(zone).to_series(), time_zone)


def _zoned(naive: pl.Series, zone: pl.Series, time_zone: str) -> pl.Series:
    """Clock times with the zone that their text says, or the shop's."""
    if zone.null_count() == len(zone):
        return _localised(naive, time_zone)
    frame = pl.DataFrame({"naive": naive, "zone": zone})
    offset = pl.col("zone").str.extract_groups(r"^([+-])(\d{2}):?(\d{2})?$")
    minutes = (offset.struct.field("2").cast(pl.Int64) * 60 + offset.struct.field("3").cast(pl.Int64).fill_null(0))
    shift = pl.duration(minutes=pl.when(offset.struct.field("1") == "-").then(-minutes).otherwise(minutes).fill_null(0))
    told = frame.select((pl.col("naive") - shift).dt.replace_time_zone("UTC")).to_series()
    if zone.null_count() == 0:
        return told
    local = _localised(_where(zone.is_null(), naive), time_zone)
    return pl.select(pl.when(zone.is_null()).then(local).otherwise(told)).to_series()


def _from_epoch(number: pl.Series) -> pl.Series:
    value = pl.col("value")
    micros = value / 1_000  # nanoseconds
    for limit, factor in reversed(EPOCH_UNITS):
        micros = pl.when(value.abs() < limit).then(value * factor).otherwise(micros)
    micros = pl.when(value.is_finite() & (micros.abs() < LATEST_EPOCH_US)).then(micros.round())
    frame = pl.DataFrame({"value": number.cast(pl.Float64, strict=False)})
    return frame.select(micros.cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).to_series()
