"""Columns under the contract's names and types."""

from __future__ import annotations

import json
import math

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

EVENTS = {"user_id": ["1", "2"], "item_id": ["a", "b"], "timestamp": ["2024-01-01", "2024-01-02"]}


def events(rows, **config):
    return to_events(pl.DataFrame(rows), ShopConfig(**config), "drop", "drop.csv")


def test_events_have_the_contract_schema_and_content_ids():
    raw = events({key: values + values[:1] for key, values in EVENTS.items()}, event_type="purchase")
    assert dict(raw.schema) == schema.RAW_EVENTS
    assert set(raw["source"]) == {"drop"} and set(raw["event_type"]) == {"purchase"}
    first, second, repeat = raw["event_id"]
    assert first == repeat != second and len(first) == 20


def test_ids_stay_as_supplied():
    raw = events({"user_id": [17850.0, None], "item_id": ["[1]", "007"], "timestamp": [0, 0],
                  "event_id": ["x", None]}, event_type="view")
    assert raw["user_id"].to_list() == ["17850.0", None] and raw["item_id"].to_list() == ["[1]", "007"]
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
    raw = events({**EVENTS, "timestamp": ["soon", "2024-01-02"], "price": ["1.5", "n/a"],
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


def test_numbers_and_categories():
    values = as_number(pl.Series("price", ["€ 5", "1,000", "12,99", None, "inf"]), "x").to_list()
    assert values[:2] == [5.0, 1000.0] and math.isnan(values[2]) and values[3:] == [None, math.inf]
    assert as_category(pl.Series(["a.b"]), ".").to_list() == ["a > b"]


@pytest.mark.parametrize("name", ["Brand", "text"])
def test_ambiguous_other_columns_stop(name):
    with pytest.raises(ShopError, match=f"'{name}'"):
        to_items(pl.DataFrame({"item_id": ["1"], "title": ["Mug"], name: ["x"]}), ShopConfig(), "items.csv")
