"""Shelves and promotions: what a shop offers on a page, and what it promotes for whom, when and how."""

from __future__ import annotations

from datetime import date

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.contract import match_columns, matched_context, read_moments
from recsys_core.ingestion.timestamps import local_day
from recsys_core.ingestion.values import as_id, as_text


def to_shelves(frame: pl.DataFrame, config: ShopConfig, artefact: str) -> pl.DataFrame:
    """Rows of a shelves file as `schema.RAW_SHELVES`; items outside the catalogue may be among them.

    Args:
        frame: the rows as read.
        artefact: the file, for errors.

    Raises:
        ShopError: a missing column, shelf or item, an unreadable day, a first day after the last.
    """
    matched = match_columns(frame.columns, "shelves", config, artefact)
    rows = pl.DataFrame({name: _required(frame[matched[name]], name, config, artefact) for name in ("shelf", "item_id")})
    return rows.with_columns(_days(frame, matched, config, artefact)).select(*schema.RAW_SHELVES)


def to_promotions(frame: pl.DataFrame, config: ShopConfig, artefact: str) -> pl.DataFrame:
    """Rows of a promotions file as `schema.RAW_PROMOTIONS`; see `to_shelves`."""
    matched = match_columns(frame.columns, "promotions", config, artefact)
    placement = as_text(frame[matched["placement"]]) if "placement" in matched else \
        pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    return pl.DataFrame({
        "item_id": _required(frame[matched["item_id"]], "item_id", config, artefact),
        "placement": placement.str.strip_chars().replace("", None).fill_null(schema.PROMOTED),
        "context": matched_context(frame, matched, config),
    }).with_columns(_days(frame, matched, config, artefact)).select(*schema.RAW_PROMOTIONS)


def overlapping(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """The rows whose first_day … last_day (null: open) share a day with first … last, all inclusive."""
    return rows.filter(pl.col("first_day").fill_null(date.min) <= last, pl.col("last_day").fill_null(date.max) >= first)


def _required(values: pl.Series, name: str, config: ShopConfig, artefact: str) -> pl.Series:
    text = (as_id(values, config) if name == "item_id" else as_text(values)).str.strip_chars().replace("", None)
    if text.null_count():
        raise ShopError(artefact, f"row {text.is_null().arg_true()[0] + 1} has no {name}", "fill it in, or drop the row")
    return text


def _days(frame: pl.DataFrame, matched: dict[str, str], config: ShopConfig, artefact: str) -> list[pl.Series]:
    """first_day and last_day, null where the file leaves them open."""
    first, last = (_read_days(frame[matched[name]], name, config, artefact) if name in matched
                   else pl.repeat(None, frame.height, dtype=pl.Date, eager=True)
                   for name in ("first_day", "last_day"))
    if (wrong := (first > last).fill_null(False)).any():
        row = wrong.arg_true()[0]
        raise ShopError(artefact, f"row {row + 1} begins on {first[row]}, after its last_day {last[row]}", "swap them")
    return [first.alias("first_day"), last.alias("last_day")]


def _read_days(values: pl.Series, name: str, config: ShopConfig, artefact: str) -> pl.Series:
    if values.dtype == pl.Date:
        return values
    values = as_text(values) if values.dtype == pl.String else values
    frame = pl.DataFrame({"value": values, "moment": read_moments(values, config, artefact)})
    day = local_day(pl.col("moment"), config.time_zone)
    if values.dtype == pl.String:  # a day of its own needs no midnight, which some zones skip in spring
        day = pl.coalesce(pl.col("value").str.strip_chars().str.to_date("%Y-%m-%d", strict=False), day)
    days = frame.select(day).to_series()
    if (unread := days.is_null() & values.is_not_null()).any():
        row = unread.arg_true()[0]
        raise ShopError(artefact, f"row {row + 1}: {name} {str(values[row])[:40]!r} is no day", "write YYYY-MM-DD, "
                        "or leave it empty if that side is open")
    return days
