"""Clean events: every row is trusted, or set aside with one reason, or an exact copy."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recsys_core.cleaning.events import SYNONYMS, CleaningConfig, clean_events
from recsys_core.cleaning.quarantine import REASONS
from recsys_core.errors import DataError
from recsys_core.schema import CLEAN_EVENTS, EVENT_TYPES, QUARANTINED_EVENTS, RAW_EVENTS

ITEMS = pl.Series("item_id", ["a", "b"], dtype=pl.String)
DAY = date(2024, 6, 10)
NOON = datetime(2024, 6, 10, 12)


def events(*rows: dict) -> pl.DataFrame:
    """Raw purchases of item a at noon, but for what a row says."""
    usual = {"user_id": "u", "timestamp": NOON, "event_type": "purchase", "item_id": "a", "source": "drop"}
    naive = {**RAW_EVENTS, "timestamp": pl.Datetime("us")}
    frame = pl.DataFrame([{**dict.fromkeys(RAW_EVENTS), **usual, **row} for row in rows], schema=naive)
    return frame.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def clean(*rows: dict, drop_day: date | None = DAY, **config):
    return clean_events(events(*rows), ITEMS, CleaningConfig(**config), drop_day)


@pytest.mark.parametrize(("row", "reason"), [
    ({"user_id": " "}, "missing_user"), ({"timestamp": None}, "missing_timestamp"),
    ({"event_type": "remove_from_cart"}, "unknown_event_type"), ({"event_type": None}, "unknown_event_type"),
    ({"event_type": "search", "item_id": None}, "missing_query"),
    ({"event_type": "search", "item_id": None, "query": " \t"}, "missing_query"),
    ({"event_type": "search", "item_id": None, "query": "x" * 513}, "query_too_long"),
    ({"item_id": ""}, "missing_item"), ({"item_id": "c"}, "unknown_item"),
    ({"timestamp": datetime(1970, 1, 1)}, "before_1971"), ({"timestamp": datetime(2024, 6, 11)}, "future"),
    ({"timestamp": datetime(2024, 6, 7, 23, 59)}, "late"),
    ({"price": float("nan")}, "bad_price"), ({"price": float("-inf")}, "bad_price"),
    ({"price": -0.01}, "bad_price"), ({"price": 1e13}, "bad_price"),
    ({"quantity": 0.0}, "bad_quantity"), ({"quantity": -6.0}, "bad_quantity"),
    ({"quantity": float("nan")}, "bad_quantity"), ({"quantity": 1e13}, "bad_quantity"),
])
def test_reasons(row: dict, reason: str) -> None:
    cleaned = clean(row, {"item_id": "b"})
    assert cleaned.quarantined["reason"].to_list() == [reason]
    assert cleaned.events["item_id"].to_list() == ["b"]
    assert reason in REASONS


@pytest.mark.parametrize("row", [
    {"price": 0.0}, {"quantity": 0.5}, {"timestamp": datetime(2024, 6, 8)},
    {"timestamp": datetime(2024, 6, 10, 23, 59)}, {"event_type": "impression", "position": 1},
    {"event_type": "search", "item_id": None, "query": "x" * 512},
])
def test_rows_on_the_right_side_of_a_limit(row: dict) -> None:
    cleaned = clean(row)
    assert (cleaned.events.height, cleaned.quarantined.height) == (1, 0)


def test_without_a_drop_day_nothing_is_late_or_in_the_future() -> None:
    cleaned = clean({"timestamp": datetime(2001, 1, 1)}, {"timestamp": datetime(2044, 1, 1)}, drop_day=None)
    assert cleaned.events.height == 2


def test_schemas_and_order() -> None:
    later = {"timestamp": NOON + timedelta(minutes=1)}
    cleaned = clean({"user_id": "v"}, later, {"item_id": "b"}, {"item_id": "?"})
    assert cleaned.events.schema == pl.Schema(CLEAN_EVENTS)
    assert cleaned.quarantined.schema == pl.Schema(QUARANTINED_EVENTS)
    keys = cleaned.events.select("user_id", "timestamp", "event_id").rows()
    assert keys == sorted(keys)
    assert cleaned.quarantined["day"].to_list() == [DAY]


def test_values_are_normalised() -> None:
    row = clean({"user_id": " u ", "item_id": "a ", "event_type": " Add-To Cart", "rating": float("inf"),
                 "review": "Great!\x00  Call +44 20 7946 0958"}).events.row(0, named=True)
    assert (row["user_id"], row["item_id"], row["event_type"]) == ("u", "a", "add_to_cart")
    assert row["rating"] is None
    assert row["review"] == "Great! Call [phone]"


@pytest.mark.parametrize(("given", "wanted"), [*SYNONYMS.items(), *((name, name) for name in EVENT_TYPES)])
def test_event_types(given: str, wanted: str) -> None:
    cleaned = clean({"event_type": given.upper(), "query": "q"})
    assert cleaned.events["event_type"].to_list() == [wanted]


def test_personal_data_is_masked_also_in_quarantine() -> None:
    cleaned = clean({"event_type": "search", "item_id": None, "query": "ann@x.org"},
                    {"event_type": "search", "item_id": None, "user_id": None,
                     "query": "bob@x.org " + "y" * 10**6})
    assert cleaned.events["query"].to_list() == ["[email]"]
    assert cleaned.quarantined["query"][0].startswith("[email] yyy")
    assert len(cleaned.quarantined["query"][0]) == 512


def test_an_exact_copy_counts_once_also_from_another_drop() -> None:
    cleaned = clean({}, {"source": "again"}, {"item_id": "b"}, {"event_id": "e"}, {"event_id": "e"})
    assert (cleaned.events.height, cleaned.quarantined.height, cleaned.duplicates) == (3, 0, 2)


def test_the_same_id_with_another_payload_sets_both_aside() -> None:
    cleaned = clean({"event_id": "e"}, {"event_id": "e", "item_id": "b"}, {"event_id": "f"})
    assert cleaned.quarantined["reason"].to_list() == ["conflicting_event_id"] * 2
    assert cleaned.events["event_id"].to_list() == ["f"]


def test_a_missing_event_id_is_a_stable_hash_of_the_row() -> None:
    rows = [{}, {"item_id": "b"}, {"quantity": 2.0}, {"price": 2.0}, {"session_id": "s"}, {"user_id": "v"},
            {"timestamp": NOON + timedelta(microseconds=1)}, {"event_type": "click"},
            {"event_type": "search", "item_id": None, "query": "q"}]
    ids = clean(*rows).events.sort("event_id")["event_id"]
    assert ids.n_unique() == len(rows)
    assert clean(*rows[::-1]).events.sort("event_id")["event_id"].to_list() == ids.to_list()
    said = ["u", str(int(NOON.replace(tzinfo=UTC).timestamp()) * 10**6), "purchase", "a", *["\0"] * 9]
    digest = hashlib.md5("\x1f".join(said).encode()).hexdigest()
    assert clean({}).events["event_id"].to_list() == [digest[:20]]


def burst(count: int, **row) -> list[dict]:
    return [{"timestamp": NOON + timedelta(seconds=n), **row} for n in range(count)]


def test_a_burst_sets_the_whole_day_of_that_user_aside() -> None:
    same_day, day_before = {"timestamp": NOON - timedelta(hours=3)}, {"timestamp": NOON - timedelta(days=1)}
    cleaned = clean(*burst(41), same_day, {"user_id": "v"}, day_before)
    assert cleaned.quarantined["reason"].to_list() == ["bot_burst"] * 42
    assert cleaned.events.select("user_id", "day").rows() == [("u", date(2024, 6, 9)), ("v", DAY)]


def test_what_is_no_burst() -> None:
    basket = [{"session_id": f"s{n}"} for n in range(300)]  # one instant
    assert clean(*basket).quarantined.is_empty()
    assert clean(*burst(40)).quarantined.is_empty()
    assert clean(*burst(60, event_type="impression")).quarantined.is_empty()
    assert clean(*burst(60), order_only=True).quarantined.is_empty()
    assert clean(*burst(60), bot_events_per_minute=60).quarantined.is_empty()


def looks(count: int, **row) -> list[dict]:
    """One look every ten minutes or so: too slow for a burst."""
    return [{"timestamp": NOON - timedelta(minutes=9 * n), "event_type": ("view", "click", "add_to_cart")[n % 3], **row}
            for n in range(count)]


def test_a_flood_of_looks_at_one_item_is_set_aside_and_the_rest_of_the_day_stays() -> None:
    cleaned = clean(*looks(51), {"item_id": "b"}, {"user_id": "v"})
    assert cleaned.quarantined["reason"].to_list() == ["click_flood"] * 51
    assert cleaned.events.select("user_id", "item_id").rows() == [("u", "b"), ("v", "a")]


def test_what_is_no_flood() -> None:
    assert clean(*looks(50), {"event_type": "purchase"}).quarantined.is_empty()
    assert clean(*looks(60, event_type="purchase")).quarantined.is_empty()
    assert clean(*[{**row, "user_id": f"u{n % 2}"} for n, row in enumerate(looks(80))]).quarantined.is_empty()
    assert clean(*looks(60), looks_per_item_and_day=60).quarantined.is_empty()


def test_a_purchase_delivered_before_its_click_comes_after_it() -> None:
    """The order is that of the events; among equal times the id decides, whatever the drop's order."""
    told = [{"event_id": name, "event_type": kind, "timestamp": NOON + timedelta(seconds=after)}
            for name, kind, after in (("buy", "purchase", 90), ("look", "view", 0), ("z", "click", 30), ("a", "click", 30))]
    for rows in (told, told[::-1]):
        assert clean(*rows).events["event_id"].to_list() == ["look", "a", "z", "buy"]


def test_days_are_the_shops_own() -> None:
    late_evening = {"timestamp": datetime(2024, 6, 11, 3)}  # 23:00 of the 10th in New York
    cleaned = clean(late_evening, time_zone="America/New_York")
    assert cleaned.events["day"].to_list() == [DAY]
    assert cleaned.events["timestamp"][0].hour == 3
    assert clean(late_evening).quarantined["reason"].to_list() == ["future"]


def test_the_pseudo_day_of_an_order_only_shop_is_clean() -> None:
    rows = [{"timestamp": datetime(2000, 1, 2) - timedelta(seconds=n)} for n in range(1, 70)]
    cleaned = clean(*rows, drop_day=date(2000, 1, 1), order_only=True)
    assert (cleaned.events.height, cleaned.events["session_id"].n_unique()) == (69, 1)


def test_broken_tables_are_refused() -> None:
    with pytest.raises(DataError, match="'price' is String"):
        clean_events(events({}).with_columns(pl.lit("1").alias("price")), ITEMS, CleaningConfig(), DAY)
    with pytest.raises(DataError, match="'context' is None"):
        clean_events(events({}).drop("context"), ITEMS, CleaningConfig(), DAY)


def test_context_passes_through_and_tells_copies_apart() -> None:
    here, there = '{"store": "1"}', '{"store": "2"}'
    cleaned = clean({"context": here}, {"context": here}, {"context": there}, {}, {"item_id": "?", "context": there})
    assert set(cleaned.events["context"]) == {None, here, there} and cleaned.duplicates == 1
    assert cleaned.quarantined["context"].to_list() == [there]


def test_no_rows_give_no_rows() -> None:
    cleaned = clean_events(events({}).clear(), ITEMS, CleaningConfig(), DAY)
    assert (cleaned.events.height, cleaned.quarantined.height, cleaned.duplicates) == (0, 0, 0)
    assert cleaned.events.schema == pl.Schema(CLEAN_EVENTS)


def test_every_row_ends_in_exactly_one_place() -> None:
    conflict = [{"event_id": "x"}, {"event_id": "x", "item_id": "b"}]
    rows = [*burst(50), {}, {}, {"user_id": None}, *conflict, {"user_id": "w"}]
    cleaned = clean(*rows)
    assert cleaned.events.height + cleaned.quarantined.height + cleaned.duplicates == len(rows)
    assert set(cleaned.quarantined["reason"]) <= set(REASONS)
