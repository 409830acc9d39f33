"""Why an event is set aside: the one vocabulary of reasons, and the rules behind it."""

from __future__ import annotations

from datetime import date

import polars as pl

from recsys_core.schema import CART, CLICK, EVENT_TYPES, POSITIVE_EVENTS, SEARCH, VIEW

LOOKS = (VIEW, CLICK, CART)

# First reason that holds wins; the order goes from "cannot be read" to "reads well but is not trusted".
REASONS = {
    "missing_user": "no user_id",
    "missing_timestamp": "no timestamp, or one that could not be read",
    "unknown_event_type": "event_type is neither in schema.EVENT_TYPES nor one of its synonyms",
    "missing_query": "a search without a query",
    "query_too_long": "a query longer than max_query_characters; the stored query is cut to that length",
    "missing_item": "an event other than a search without an item_id",
    "unknown_item": "item_id is not in the catalogue",
    "before_1971": "an epoch default or a broken clock: earlier than 1971-01-01 UTC",
    "future": "later than the end of its drop's local day",
    "late": "its local day is more than lateness_days before the drop: closed, not re-made",
    "bad_price": "price is NaN, infinite, negative or above max_amount",
    "bad_quantity": "quantity is NaN, infinite, not positive (cancellations) or above max_amount",
    "conflicting_event_id": "another row has the same event_id and says something else on a day near: both are set aside",
    "bot_burst": "the user acted at more distinct instants of one minute of that day than a person can",
    "click_flood": "the user viewed, clicked or carted that item at more distinct instants of that day than a shopper would",
}


def row_reasons(known_items: pl.Series, max_query_characters: int, max_amount: float,
                lateness_days: int, drop_day: date | None) -> pl.Expr:
    """Expression: the first reason that a row shows by itself, or null.

    Args:
        known_items: String, the ids of the clean catalogue.
        max_query_characters: longest query kept.
        max_amount: largest price or quantity believed.
        lateness_days: days before the drop that are still open.
        drop_day: local day of the drop; None skips the tests `future` and `late`.
    """
    item, query, day = pl.col("item_id"), pl.col("query"), pl.col("day")
    is_search = pl.col("event_type") == SEARCH
    rules = {
        "missing_user": pl.col("user_id").is_null(),
        "missing_timestamp": pl.col("timestamp").is_null(),
        "unknown_event_type": ~pl.col("event_type").is_in(EVENT_TYPES).fill_null(False),
        "missing_query": is_search & query.is_null(),
        "query_too_long": query.str.len_chars() > max_query_characters,
        "missing_item": ~is_search & item.is_null(),
        "unknown_item": item.is_not_null() & ~item.is_in(known_items.implode()),
        "before_1971": pl.col("timestamp").dt.year() < 1971,
    }
    if drop_day is not None:
        rules["future"] = day > drop_day
        rules["late"] = day < pl.lit(drop_day) - pl.duration(days=lateness_days)
    price, quantity = pl.col("price"), pl.col("quantity")
    rules["bad_price"] = ~price.is_finite() | (price < 0) | (price > max_amount)
    rules["bad_quantity"] = ~quantity.is_finite() | (quantity <= 0) | (quantity > max_amount)
    return pl.coalesce(pl.when(rule).then(pl.lit(name)) for name, rule in rules.items())


def find_floods(events: pl.DataFrame, looks_per_day: int) -> pl.DataFrame:
    """Users, items and local days with a flood of looks: whoever wants an item to look wanted, in no hurry.

    Purchases do not count: a till may sell one item all day to an account that many share.

    Args:
        events: clean columns user_id, item_id, timestamp, event_type, day.
        looks_per_day: most distinct timestamps of views, clicks and additions to the cart of one item by one user on one day.

    Returns:
        user_id, item_id, day: distinct.
    """
    looks = events.filter(pl.col("event_type").is_in(LOOKS)).select("user_id", "item_id", "day", "timestamp").unique()
    return looks.group_by("user_id", "item_id", "day").len().filter(pl.col("len") > looks_per_day).drop("len")


def find_bots(events: pl.DataFrame, events_per_minute: int) -> pl.DataFrame:
    """Users and local days with an inhuman minute, so that none of that day's events train a model.

    Instants are counted, not rows: a basket of a hundred items at one till timestamp is one instant.

    Args:
        events: clean columns user_id, timestamp, event_type, day.
        events_per_minute: most distinct timestamps of positive events in one clock minute.

    Returns:
        user_id, day: distinct.
    """
    instants = events.filter(pl.col("event_type").is_in(POSITIVE_EVENTS)).select(
        "user_id", "day", "timestamp").unique()
    bursts = instants.group_by("user_id", "day", pl.col("timestamp").dt.truncate("1m")).len()
    return bursts.filter(pl.col("len") > events_per_minute).select("user_id", "day").unique()
