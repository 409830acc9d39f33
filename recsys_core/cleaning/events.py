"""Clean events: trusted rows with ids, sessions and days; everything else set aside with its reason.

The steps, top to bottom: normalise → count exact copies once → one reason per bad row → bots and
click floods → sessions → sort.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from hashlib import md5

import polars as pl
from pydantic import BaseModel, Field

from recsys_core.cleaning.quarantine import find_bots, find_floods, row_reasons
from recsys_core.cleaning.sessions import cut_sessions
from recsys_core.cleaning.text import normalise_text, trim_id
from recsys_core.errors import DataError
from recsys_core.personal import mask_personal_data
from recsys_core.schema import (
    CART,
    CLEAN_EVENTS,
    CLICK,
    IMPRESSION,
    PURCHASE,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
    VIEW,
)

log = logging.getLogger(__name__)

SYNONYMS = {
    "transaction": PURCHASE, "order": PURCHASE, "buy": PURCHASE, "purchased": PURCHASE,
    "cart": CART, "addtocart": CART, "add_to_basket": CART, "basket": CART,
    "clickout": CLICK, "pageview": VIEW, "page_view": VIEW, "detail": VIEW, "detail_view": VIEW,
    "show": IMPRESSION, "exposure": IMPRESSION,
}
EVENT_ID_DIGITS = 20  # 80 bits: one accidental collision expected beyond 10^12 events


class CleaningConfig(BaseModel, frozen=True, extra="forbid"):
    """What counts as a trustworthy event."""

    time_zone: str = Field("UTC", description="the shop's time zone: days are its local days")
    lateness_days: int = Field(2, ge=0, description="days before the drop that late events may re-open")
    session_gap_minutes: int = Field(30, gt=0, description="silence that ends a derived session")
    bot_events_per_minute: int = Field(
        40, gt=0, description="most distinct instants of positive events in a minute of one user")
    looks_per_item_and_day: int = Field(
        50, gt=0, description="most distinct instants at which one user views, clicks or carts one item on a day")
    max_query_characters: int = Field(512, gt=0, description="longest query accepted")
    max_amount: float = Field(1e12, gt=0, description="largest price or quantity believed")
    max_set_aside: float = Field(0.2, ge=0, le=1, description="largest share of a day's or a file's events set aside, "
                                 "events without a user and bots not counted")
    order_only: bool = Field(
        False, description="timestamps are only positions, one second apart: no bot test")


@dataclass(frozen=True)
class CleanedEvents:
    """A day in two parts, and how many rows were copies.

    Args:
        events: `schema.CLEAN_EVENTS`.
        quarantined: `schema.QUARANTINED_EVENTS`.
        duplicates: exact copies that were counted once.
    """

    events: pl.DataFrame
    quarantined: pl.DataFrame
    duplicates: int


def clean_events(raw: pl.DataFrame, known_items: pl.Series, config: CleaningConfig,
                 drop_day: date | None = None, elsewhere: pl.DataFrame | None = None) -> CleanedEvents:
    """Turn raw events into trusted ones; every other row is kept apart with one reason.

    Every row of `raw` ends in exactly one of: events, quarantined, duplicates. A missing event_id
    becomes a hash of the row, so the same row has the same id in every run.

    Args:
        raw: the columns of `schema.RAW_EVENTS` (further columns are left out).
        known_items: String, the ids of the clean catalogue.
        config: thresholds and time zone.
        drop_day: local day of the drop; None where rows of many days are cleaned at once
            (no row is then late or in the future).
        elsewhere: rows of other days that may bear the same ids, same columns; None: none.

    Returns:
        events sorted by user_id, timestamp, event_id; quarantined sorted by reason, user_id,
        timestamp, event_id; the number of exact copies.

    Raises:
        DataError: a contract column is missing or of another type.
    """
    rows = _normalise(_checked(raw), config)
    rows = _identify(rows)
    distinct = rows.unique(["event_id", "_digest"], keep="first", maintain_order=True)
    reason = row_reasons(known_items, config.max_query_characters, config.max_amount,
                         config.lateness_days, drop_day)
    repeated = pl.col("event_id").is_duplicated()
    if elsewhere is not None and elsewhere.height:
        repeated |= pl.col("event_id").is_in(_otherwise(distinct, _identify(_normalise(_checked(elsewhere), config))).implode())
    conflict = pl.when(repeated).then(pl.lit("conflicting_event_id"))
    distinct = distinct.with_columns(pl.coalesce(reason, conflict).alias("reason"))
    if not config.order_only:
        distinct = _flagged(distinct, "bot_burst", find_bots(_trusted(distinct), config.bot_events_per_minute))
        distinct = _flagged(distinct, "click_flood", find_floods(_trusted(distinct), config.looks_per_item_and_day))
    good = pl.col("reason").is_null()
    events = cut_sessions(distinct.filter(good).sort("user_id", "timestamp", "event_id"),
                          config.session_gap_minutes)
    bad = distinct.filter(~good).with_columns(pl.col("query").str.slice(0, config.max_query_characters))
    bad = bad.sort("reason", "user_id", "timestamp", "event_id", maintain_order=True)
    cleaned = CleanedEvents(events.select(*CLEAN_EVENTS), bad.select(*QUARANTINED_EVENTS),
                            rows.height - distinct.height)
    log.debug("%d clean events, %d quarantined, %d exact copies", cleaned.events.height,
             cleaned.quarantined.height, cleaned.duplicates)
    return cleaned


def _checked(raw: pl.DataFrame) -> pl.DataFrame:
    for name, dtype in RAW_EVENTS.items():
        if raw.schema.get(name) != dtype:
            raise DataError("raw_events", f"column {name!r} is {raw.schema.get(name)}, not {dtype}",
                            "map the column in shop.yaml, or drop the day and load it again")
    return raw.select(*RAW_EVENTS)


def _normalise(raw: pl.DataFrame, config: CleaningConfig) -> pl.DataFrame:
    """One spelling per value, personal data masked, the local day added."""
    event_type = pl.col("event_type").str.strip_chars().str.to_lowercase().str.replace_all(r"[\s-]+", "_")
    ids = (trim_id(name) for name in ("event_id", "user_id", "item_id", "session_id"))
    finite = (pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
              for name in ("rating", "propensity"))
    rows = raw.with_columns(*ids, *finite, event_type.replace(SYNONYMS).alias("event_type"),
                            normalise_text("query"), normalise_text("review"))
    local = pl.col("timestamp").dt.convert_time_zone(config.time_zone)
    return rows.with_columns(mask_personal_data("query"), mask_personal_data("review"),
                             local.dt.date().alias("day"))


def _identify(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `_digest`, a hash of everything the row says, and use it where event_id is missing.

    MD5, because Polars' own hash changes between releases; it identifies rows and protects nothing.
    """
    said = [name for name in RAW_EVENTS if name not in ("event_id", "source")]
    parts = (pl.col(name).dt.epoch("us") if name == "timestamp" else pl.col(name) for name in said)
    keys = rows.select(pl.concat_str((part.cast(pl.String).fill_null("\0") for part in parts),
                                     separator="\x1f")).to_series()
    digests = [md5(key.encode(), usedforsecurity=False).hexdigest() for key in keys]
    derived = pl.col("_digest").str.slice(0, EVENT_ID_DIGITS)
    return rows.with_columns(pl.Series("_digest", digests, dtype=pl.String)).with_columns(
        pl.coalesce("event_id", derived))


def _otherwise(rows: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Ids of rows that say something else among the others; a copy, such as one that came too early, says the same."""
    both = others.join(rows.select("event_id", "_digest"), on="event_id", suffix="_here")
    return both.filter(pl.col("_digest") != pl.col("_digest_here"))["event_id"].unique()


def _trusted(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("reason").is_null())


def _flagged(rows: pl.DataFrame, reason: str, found: pl.DataFrame) -> pl.DataFrame:
    """The rows with a reason where they match one of the found keys and have none yet; they are kept for audit."""
    if found.is_empty():
        return rows
    marked = found.with_columns(pl.lit(reason).alias("_mark"))
    rows = rows.join(marked, on=found.columns, how="left", maintain_order="left", validate="m:1")
    return rows.with_columns(pl.coalesce("reason", "_mark").alias("reason")).drop("_mark")
