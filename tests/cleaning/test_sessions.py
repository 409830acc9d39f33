"""Sessions: kept where supplied, cut at silence and at midnight elsewhere."""

from datetime import datetime

import polars as pl

from recsys_core.cleaning.sessions import cut_sessions


def sessions(*rows: tuple[str, str, str | None], gap: int = 30) -> list[str]:
    """(user, timestamp, supplied session) → session ids."""
    frame = pl.DataFrame({
        "user_id": [row[0] for row in rows], "timestamp": [datetime.fromisoformat(row[1]) for row in rows],
        "session_id": [row[2] for row in rows]}, schema_overrides={"session_id": pl.String})
    frame = frame.with_columns(pl.col("timestamp").dt.date().alias("day"), pl.lit("e").alias("event_id"))
    return cut_sessions(frame, gap)["session_id"].to_list()


def test_cut_after_more_than_the_gap_and_at_midnight() -> None:
    assert sessions(
        ("u", "2024-06-10T09:00", None), ("u", "2024-06-10T09:30", None), ("u", "2024-06-10T10:00:01", None),
        ("u", "2024-06-10T23:50", None), ("u", "2024-06-11T00:05", None), ("v", "2024-06-11T00:06", None),
    ) == ["u-20240610-1", "u-20240610-1", "u-20240610-2", "u-20240610-3", "u-20240611-1", "v-20240611-1"]


def test_supplied_sessions_are_kept_and_the_others_cut() -> None:
    assert sessions(
        ("u", "2024-06-10T09:00", "s"), ("u", "2024-06-10T09:01", None), ("u", "2024-06-10T09:02", "s"),
        ("u", "2024-06-10T09:20", None),
    ) == ["s", "u-20240610-1", "s", "u-20240610-1"]


def test_the_gap_is_configurable() -> None:
    assert sessions(("u", "2024-06-10T09:00", None), ("u", "2024-06-10T09:10", None), gap=5) == [
        "u-20240610-1", "u-20240610-2"]
