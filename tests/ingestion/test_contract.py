"""Columns under the contract's names and types."""

from __future__ import annotations

import json
import math
from datetime import time

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.contract import (
    as_category,
    as_number,
    context_texts,
    to_closed_table,
    to_events,
    to_items,
    to_users,
)
from recsys_core.pseudonyms import UserKeys

EVENTS = {"user_id": ["1", "2"], "item_id": ["a", "b"], "timestamp": ["2024-01-01", "2024-01-02"]}


def events(rows, **config):
    return to_events(pl.DataFrame(rows), ShopConfig(**config), "drop", "drop.csv", UserKeys())


def test_events_have_the_contract_schema_and_content_ids():
    raw = events({key: values + values[:1] for key, values in EVENTS.items()}, event_type="purchase")
    assert dict(raw.schema) == schema.RAW_EVENTS
    assert set(raw["source"]) == {"drop"} and set(raw["event_type"]) == {"purchase"}
    first, second, repeat = raw["event_id"]
    assert first == repeat != second and len(first) == 20


def test_ids_stay_as_supplied():
    raw = events({"user_id": [17850.0, None], "item_id": ["[1]", "007"], "timestamp": [0, 0],
                  "event_id": ["x", None]}, event_type="view")
    assert raw["user_id"].to_list() == ["17850", None] and raw["item_id"].to_list() == ["[1]", "007"]
    assert raw["event_id"][0] == "x" and raw["event_id"][1]
    assert events({**EVENTS, "user_id": [5, 6]}, event_type="view")["user_id"].to_list() == ["5", "6"]


def test_event_types_are_translated_and_filled():
    raw = events({**EVENTS, "event_type": ["cart", None]}, event_types={"cart": "add_to_cart"},
                 event_type="view")
    assert raw["event_type"].to_list() == ["add_to_cart", "view"]


def test_first_alternative_that_exists_is_taken():
    mapping = {"columns": {"events": {"user_id": ["reviewer", "user_id"], "rating": ["overall", "stars"]}}}
    raw = events({**EVENTS, "stars": ["5", "4.5"]}, event_type="review", **mapping)
    assert raw["user_id"].to_list() == ["1", "2"] and raw["rating"].to_list() == [5.0, 4.5]


def test_unreadable_values_stay_visible():
    raw = events({**EVENTS, "timestamp": ["soon", "2024-01-02"], "price": ["1.5", "free"],
                  "position": ["3", "x"]}, event_type="view")
    assert raw["timestamp"].null_count() == 1 and math.isnan(raw["price"][1])
    assert raw["position"].to_list() == [3, None]


@pytest.mark.parametrize(("columns", "config", "words"), [
    ({"uid": ["1"], "item_id": ["a"], "timestamp": ["2024-01-01"]}, {},
     ["'user_id' is missing", "uid, item_id"]),
    ({"user_id": ["1"], "timestamp": ["2024-01-01"]}, {"event_type": "view"}, ["'item_id' is missing"]),
    ({"user_id": ["1"], "item_id": ["a"]}, {"event_type": "view"}, ["'timestamp'", "order_only: true"]),
    (EVENTS, {}, ["'event_type' is missing", "event_type: purchase"]),
    (EVENTS, {"event_type": "view", "columns": {"events": {"price": "user_di"}}},
     ["column 'user_di' (mapped to 'price') is missing (did you mean 'user_id'?)"]),
    ({**EVENTS, "timestamp": ["soon", "later"]}, {"event_type": "view"}, ["'timestamp'", "'soon'"]),
    ({**EVENTS, "price": ["cheap", "dear"]}, {"event_type": "view"}, ["'price'", "'cheap'"]),
])
def test_missing_and_retyped_columns_stop(columns, config, words):
    with pytest.raises(ShopError) as error:
        events(columns, **config)
    assert error.value.artefact == "drop.csv"
    for word in words:
        assert word in str(error.value)


STORES = {**EVENTS, "store_id": [7, None], "channel": ["app ", ""]}
MAPPED = {"context": ("store", "channel"), "columns": {"events": {"store": "store_id"}}}


@pytest.mark.parametrize("order_only", [False, True])
def test_context_is_one_canonical_text(order_only):
    raw = events(STORES, event_type="view", order_only=order_only, **MAPPED)
    assert dict(raw.schema) == schema.RAW_EVENTS
    assert raw["context"].to_list() == ['{"channel": "app", "store": "7"}', None]
    other = events({**STORES, "store_id": ["7", " "]}, event_type="view", order_only=order_only,
                   **{**MAPPED, "context": ("channel", "store")})
    assert other["context"].equals(raw["context"])  # neither the order of names nor a column's type shows


def test_context_tells_events_apart():
    twice = {**{name: values[:1] * 2 for name, values in EVENTS.items()}, "store": ["1", "2"]}
    assert events(twice, event_type="view", context=("store",))["event_id"].n_unique() == 2
    assert events(twice, event_type="view")["event_id"].n_unique() == 1
    assert events(twice, event_type="view")["context"].to_list() == [None, None]


def test_a_declared_context_must_be_there():
    with pytest.raises(ShopError, match=r"'store' is missing.*columns: {events: {store: <your column>}}.*out of `context`"):
        events(EVENTS, event_type="view", context=("store",))
    one_of = {"columns": {"events": {"store": ["shop", "branch"]}}}
    assert events(EVENTS, event_type="view", context=("store",), **one_of)["context"].to_list() == [None, None]


def test_context_values_that_need_escaping_stay_whole():
    values = ['say "hi"', "Zürich\n2", "{}"]
    texts = context_texts(pl.DataFrame({"page": values}))
    assert [json.loads(text)["page"] for text in texts] == values and "Zürich" in texts[1]


def test_order_only_events():
    raw = events({"user_id": ["a", "a"], "item_id": ["x", "y"], "position": ["1", "0"]},
                 order_only=True, event_type="view")
    assert raw["timestamp"].dt.second().to_list() == [59, 58]
    assert raw["position"].null_count() == 2  # an order is no place on a page


def test_items_keep_other_columns_typed():
    items = to_items(pl.DataFrame({
        "sku": ["01", "02"], "title": ["Mug", None], "category": ['["Home", "Mugs"]', '[["A", "B"], ["C"]]'],
        "price": ["$1,299.50", None], "size": ["1", "20"], "weight": ["0.5", None], "zip": ["01", "20"],
    }), ShopConfig(columns={"items": {"item_id": "sku"}}), "items.csv")
    assert items.columns == [*schema.RAW_ITEMS, "size", "weight", "zip"]
    assert items["item_id"].to_list() == ["01", "02"] and items["price"].to_list() == [1299.5, None]
    assert items["category"].to_list() == ["Home > Mugs", "A > B"]
    assert items.schema["size"] == pl.Int64 and items.schema["weight"] == pl.Float64
    assert items["zip"].to_list() == ["01", "20"]


def test_items_need_a_title_unless_alternatives_were_given():
    frame = pl.DataFrame({"item_id": ["1"]})
    with pytest.raises(ShopError, match="'title' is missing"):
        to_items(frame, ShopConfig(), "items.csv")
    items = to_items(frame, ShopConfig(columns={"items": {"title": ["name"]}}), "items.csv")
    assert items["title"].to_list() == [None]


def test_users_and_closed_tables():
    users = to_users(pl.DataFrame({"id": ["1"], "age": ["30"]}),
                     ShopConfig(columns={"users": {"user_id": "id"}}), "users.csv")
    assert users.to_dicts() == [{"user_id": "1", "age": 30}]
    frame = pl.DataFrame({"query": ["mug"], "item_id": [7], "gain": ["100"], "note": ["x"]})
    judgments = to_closed_table(frame, "judgments", ShopConfig(), "judgments.csv")
    assert judgments.to_dicts() == [{"query": "mug", "item_id": "7", "gain": 100.0}]
    frame = pl.DataFrame({"task": ["intent"], "label": ["find"]})
    labels = to_closed_table(frame, "labels", ShopConfig(), "labels.csv")
    assert dict(labels.schema) == schema.LABELS


def numbers(*texts, **config):
    found = as_number(pl.Series("price", texts, pl.String), "x.csv", ShopConfig(**config)).to_list()
    return ["NaN" if value is not None and math.isnan(value) else value for value in found]


@pytest.mark.parametrize(("texts", "values"), [
    (["€ 5", "1,000", None, "inf", "12.50 €", "EUR 7", "x"], [5, 1000, None, math.inf, 12.5, 7, "NaN"]),
    (["12,50", "8", "1.299,00", "12,500"], [12.5, 8, 1299, 12.5]),       # commas are decimal marks in this column
    (["12.50", "8", "1,299.00", "12,500"], [12.5, 8, 1299, 12500]),
    (["12,50", "9.99", "8"], [12.5, 9.99, 8]),                             # mixed, but each value is only one number
    (["1 299,00", "1'299.50", "1\u202f000"], [1299, 1299.5, 1000]),
    (["NaN", "NULL", "N/A", "-", "None", "", "na", "7"], [None] * 7 + [7]),
    (["12.50-15.00", "7", "3 – 4"], [None, 7, None]), (["NaN", "NaN"], [None, None]), (["-5", "5"], [-5, 5]),
])
def test_numbers(texts, values):
    assert numbers(*texts) == values


def test_numbers_that_may_be_two(caplog):
    with pytest.raises(ShopError, match=r"'12,50' and '9.99', so '12,500' may be two numbers.*decimal"):
        numbers("12,50", "9.99", "12,500")
    assert numbers("12,500", "1,5", decimal=",") == [12.5, 1.5] and numbers("12,500", "1.5", decimal=".") == [12500, 1.5]
    assert numbers("?", "5", null_words=["?"]) == [None, 5]
    assert as_number(pl.Series([1.0, float("nan")]), "x", ShopConfig()).to_list() == [1.0, None]


def test_categories():
    assert as_category(pl.Series(["a.b"]), ".").to_list() == ["a > b"]
    lists = pl.Series(["['Toys', 'Games']", '["Toys", "Games"]', "[]", "['Toys' 'Games']", "[x", "Toys|Games"])
    assert as_category(lists, " > ").to_list() == ["Toys > Games", "Toys > Games", None, "Toys > Games", "[x", "Toys|Games"]


def test_missing_ids():
    nan = float("nan")
    raw = events({"user_id": ["7", "NaN", "8.0"], "item_id": [1.0, nan, 2.5], "timestamp": [0, 0, 0]}, event_type="view")
    assert raw["user_id"].to_list() == ["7", None, "8.0"] and raw["item_id"].to_list() == ["1", None, "2.5"]
    names = events({"user_id": ["Nan", "na", "Ann"], "item_id": ["1"] * 3, "timestamp": [0, 0, 0]}, event_type="view")
    assert names["user_id"].to_list() == ["Nan", "na", "Ann"]
    bytes_and_classes = events({"user_id": pl.Series(["a", "b"], dtype=pl.Categorical), "item_id": [b"1", b"2"],
                                "timestamp": [b"2024-01-01", b"2024-01-02"]}, event_type="view")
    assert bytes_and_classes["item_id"].to_list() == ["1", "2"] and bytes_and_classes["timestamp"].null_count() == 0


def test_ids_that_a_spreadsheet_rounded(caplog):
    rows = {"item_id": ["1.23457E+12", "1.23457E+12"], "title": ["Mug", "Cup"]}
    with pytest.raises(ShopError, match=r"'Mug' and 'Cup' share the id '1.23457E.12'"):
        to_items(pl.DataFrame(rows), ShopConfig(), "items.csv")
    to_items(pl.DataFrame(rows).head(1), ShopConfig(), "items.csv")
    assert "1 ids are rounded" in caplog.text


@pytest.mark.parametrize(("values", "settings", "words"), [
    (["03/04/2024 10:00", "01/02/2024"], {}, ["day or the month", "timestamp_format"]),
    (["13/04/2024", "04/13/2024"], {}, ["some dates have the day first", "timestamp_format"]),
    (["monday", "tuesday"], {}, ["not one of 2 values is a timestamp", "timestamp_format"]),
    (pl.Series([None, None]), {}, ["not one of 2 values is a timestamp (it is empty)"]),
    (pl.Series([time(1), time(2)]), {}, ["not one of 2 values is a timestamp"]),
    (["2024-01-01 10:00 PST"] * 2, {"timestamp_format": "%Y-%m-%d %H:%M %Z"}, ["timestamp_format", "names of zones"]),
])
def test_timestamps_that_are_refused(values, settings, words):
    with pytest.raises(ShopError) as error:
        events({**EVENTS, "timestamp": values}, event_type="view", **settings)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["Brand", "text"])
def test_ambiguous_other_columns_stop(name):
    with pytest.raises(ShopError, match=f"'{name}'"):
        to_items(pl.DataFrame({"item_id": ["1"], "title": ["Mug"], name: ["x"]}), ShopConfig(), "items.csv")


def test_personal_data_never_enter_a_table():
    told = {"query": ["shoes for ann@x.org", "shoes for bob@x.org"], "review": ["call +44 20 7946 0958", "4111 1111 1111 1111"]}
    frame = events({**EVENTS, **told}, event_type="search")
    assert frame["query"].to_list() == ["shoes for [email]"] * 2
    assert frame["review"].to_list() == ["call [phone]", "[card]"]
    assert frame["event_id"].n_unique() == 2  # two events that differ in what is masked are two events
