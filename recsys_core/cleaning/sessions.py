"""Sessions: kept where the shop supplies them, cut at inactivity where it does not."""

from __future__ import annotations

import polars as pl


def cut_sessions(events: pl.DataFrame, gap_minutes: int) -> pl.DataFrame:
    """Fill missing session ids: a user's session ends after `gap_minutes` of silence and at midnight.

    Cutting at local midnight keeps a day's sessions a function of that day alone, so that
    re-making one day never changes another.

    Args:
        events: columns user_id, timestamp, event_id, day, session_id; sorted by user_id, timestamp.
        gap_minutes: longest silence inside a session.

    Returns:
        The same rows in the same order; derived ids read `<user_id>-<YYYYMMDD>-<n>`, n from 1.
    """
    missing = events["session_id"].is_null()
    if not missing.any():
        return events
    loose = events.select("user_id", "day", "timestamp").filter(missing)
    new_day = (pl.col("user_id") != pl.col("user_id").shift()) | (pl.col("day") != pl.col("day").shift())
    silence = pl.col("timestamp").diff() > pl.duration(minutes=gap_minutes)
    count = (new_day | silence).fill_null(True).cum_sum()
    loose = loose.select(
        "user_id", "day", new_day.fill_null(True).alias("new_day"), count.alias("count"))
    first = pl.when("new_day").then("count").forward_fill()
    ids = loose.select(pl.concat_str(
        "user_id", pl.lit("-"), pl.col("day").dt.strftime("%Y%m%d"), pl.lit("-"),
        (pl.col("count") - first + 1).cast(pl.String)).alias("session_id"))["session_id"]
    if missing.all():
        return events.with_columns(ids)
    return events.with_columns(events["session_id"].scatter(missing.arg_true(), ids))
