"""Every column name, dtype, vocabulary and padding convention, in one place.

Tables are listed in the order the stages write them. All timestamps are UTC; a *day* is
the shop's local calendar day. Ids are strings exactly as the shop supplied them.
"""

from __future__ import annotations

from typing import Any

import polars as pl

UTC = pl.Datetime("us", "UTC")
Columns = dict[str, pl.DataType | type[pl.DataType]]

PAD_ITEM = ""
PAD_SCORE = float("-inf")

# Order-only shops (no timestamps) live on one pseudo-day: a user's last event is stamped one
# second before its end, the one before that two seconds before, and so on. A global cut-off in
# time is then a cut-off in reverse position, and every later stage needs only one code path.
PSEUDO_DAY = "2000-01-01"

IMPRESSION, VIEW, CLICK, CART, PURCHASE, SEARCH = (
    "impression", "view", "click", "add_to_cart", "purchase", "search",
)
RATING, REVIEW = "rating", "review"
EVENT_TYPES = (IMPRESSION, VIEW, CLICK, CART, PURCHASE, SEARCH, RATING, REVIEW)
# A positive event says the shopper wanted the item; an impression only says it was shown.
POSITIVE_EVENTS = (VIEW, CLICK, CART, PURCHASE, RATING, REVIEW)

RAW_EVENTS: Columns = {
    "event_id": pl.String, "user_id": pl.String, "timestamp": UTC, "event_type": pl.String,
    "item_id": pl.String, "query": pl.String, "session_id": pl.String, "price": pl.Float64,
    "quantity": pl.Float64, "rating": pl.Float64, "review": pl.String,
    "context": pl.String,  # what a request says too: a JSON object text, sorted keys, no null values; null: nothing
    "position": pl.Int32, "propensity": pl.Float64,
    "source": pl.String,  # the drop the row came from, so that every row can be traced
}
RAW_ITEMS: Columns = {
    "item_id": pl.String, "title": pl.String, "description": pl.String, "brand": pl.String,
    "category": pl.String,  # a path, levels joined by CATEGORY_SEPARATOR
    "price": pl.Float64,
}  # plus any other column of the shop, kept as it is for predicates and filters
CATEGORY_SEPARATOR = " > "
# What a shop offers, apart from what shoppers did. Days are local and inclusive; null leaves that side open.
RAW_SHELVES: Columns = {"shelf": pl.String, "item_id": pl.String, "first_day": pl.Date, "last_day": pl.Date}
RAW_PROMOTIONS: Columns = {
    "item_id": pl.String, "first_day": pl.Date, "last_day": pl.Date, "placement": pl.String,
    "context": pl.String,  # as that of events; null: everywhere
}
PROMOTED = "promoted"  # the placement of a promotion that names none

CLEAN_EVENTS: Columns = {**RAW_EVENTS, "day": pl.Date}
CLEAN_ITEMS: Columns = {**RAW_ITEMS, "text": pl.String}  # text: what the encoder reads
QUARANTINED_EVENTS: Columns = {**RAW_EVENTS, "day": pl.Date, "reason": pl.String}

JUDGMENTS: Columns = {"query": pl.String, "item_id": pl.String, "gain": pl.Float64}
LABELS: Columns = {
    "task": pl.String, "text": pl.String, "item_id": pl.String, "query": pl.String,
    "label": pl.String, "split": pl.String, "span": pl.String,
}

ITEM_ATTRIBUTES: Columns = {  # values of clean_items' further columns, read off texts where the shop gives none
    "item_id": pl.String, "attribute": pl.String, "value": pl.String,
    "task": pl.String, "task_hash": pl.String,  # the labelled task that read it, and which version
}

# --- features (a Parquet partial per day, views in DuckDB) -------------------------------------
# Daily grain makes every aggregate point-in-time correct: the state at a cut-off is the sum of
# the days before it, and a new night adds only its own rows. Tables come day after day; the order below is a day's.
ITEM_FEATURES: Columns = {  # by item and day
    "item_id": pl.String, "day": pl.Date, "impressions": pl.Int64, "views": pl.Int64,
    "clicks": pl.Int64, "carts": pl.Int64, "purchases": pl.Int64, "users": pl.Int64,
    "quantity": pl.Float64, "revenue": pl.Float64,
}
SEGMENT_EVENTS: Columns = {  # by segment, user, timestamp, event_id
    "segment": pl.String, "event_id": pl.String,
}
INTERACTIONS: Columns = {  # one row per positive event, by user, timestamp, item, event_id
    "event_id": pl.String, "user_id": pl.String, "item_id": pl.String, "timestamp": UTC,
    "event_type": pl.String, "session_id": pl.String, "context": pl.String,
}
EXPOSURES: Columns = {  # one row per impression with its outcome and what was known before its day; by user, timestamp, event_id
    "event_id": pl.String, "user_id": pl.String, "item_id": pl.String, "timestamp": UTC,
    "label": pl.Int8, "position": pl.Int32, "propensity": pl.Float64,
    "user_item_purchases": pl.Int64,  # by this user of this item, on earlier days
    "user_purchases": pl.Int64,       # by this user, on earlier days
    "item_purchases": pl.Int64,       # of this item, on earlier days
    "item_impressions": pl.Int64,     # of this item, on earlier days
    "item_conversions": pl.Int64,     # impressions of this item that led to the positive label
}
FEATURE_TABLES = {
    "item_features": ITEM_FEATURES, "segment_events": SEGMENT_EVENTS,
    "interactions": INTERACTIONS, "exposures": EXPOSURES,
}

# --- ids and the context's values are text ---
EXACT = 2**53  # integral floats are integers up to here


def as_text(value: Any) -> str:
    """A scalar as ids and context values are written: flags in small letters, integral floats as integers.

    >>> as_text(367.0), as_text(True), as_text(" north ")
    ('367', 'true', 'north')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and abs(value) <= EXACT and value == int(value) else str(value).strip()
