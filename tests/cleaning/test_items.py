"""The clean catalogue: unique, sorted, never without a text."""

import polars as pl
import pytest

from recsys_core.cleaning.items import clean_items, compose_text
from recsys_core.errors import DataError
from recsys_core.schema import CLEAN_ITEMS, RAW_ITEMS


def items(*rows: dict) -> pl.DataFrame:
    """Raw items; `shelf` is a column of the shop's own."""
    return pl.DataFrame(rows, schema={**RAW_ITEMS, "shelf": pl.Int64})


def test_columns_order_and_extra_columns() -> None:
    clean = clean_items(items({"item_id": "b", "title": "B", "shelf": 2},
                              {"item_id": "a", "title": "A", "shelf": 1}))
    assert clean.schema == pl.Schema({**CLEAN_ITEMS, "shelf": pl.Int64})
    assert clean.select("item_id", "shelf").rows() == [("a", 1), ("b", 2)]


def test_first_non_null_value_of_a_repeated_item_wins() -> None:
    clean = clean_items(items(
        {"item_id": "a", "title": None, "brand": "X", "shelf": 7}, {"item_id": "z", "title": "Z"},
        {"item_id": " a ", "title": "First", "brand": "Y"}, {"item_id": "a", "title": "Second", "price": 2.0},
        {"item_id": None, "title": "lost"}))
    assert clean.select("item_id", "title", "brand", "price", "shelf").rows() == [
        ("a", "First", "X", 2.0, 7), ("z", "Z", None, None, None)]


@pytest.mark.parametrize(("row", "text"), [
    ({"title": " Red&nbsp;&amp; <i>blue</i>\x00mug "}, "Red & blue mug"),
    ({"description": "Only described", "brand": "X"}, "Only described. X"),
    ({"brand": "Acme", "category": "Tools > Saws"}, "Acme. Tools. Saws"),
    ({"category": "Tools > Saws"}, "Tools > Saws"), ({}, "i"),
])
def test_every_item_has_a_text(row: dict, text: str) -> None:
    clean = clean_items(items({"item_id": "i", **row}))
    assert clean["text"].to_list() == [text]
    assert clean["title"].null_count() == 0


def test_text_says_nothing_twice_and_cuts_long_descriptions_at_a_word() -> None:
    path = "Garden > Tea set > Tea > Steak"
    assert compose_text("Garden tea set", None, "TEA", path) == "Garden tea set. Steak"
    assert compose_text("Tea", "word " * 100, None, None) == "Tea. " + " ".join(["word"] * 40)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), -1.0])
def test_an_impossible_price_is_null(price: float) -> None:
    assert clean_items(items({"item_id": "i", "title": "t", "price": price}))["price"].to_list() == [None]


def test_a_price_of_zero_is_kept() -> None:
    assert clean_items(items({"item_id": "i", "title": "t", "price": 0.0}))["price"].to_list() == [0.0]


def test_broken_tables_are_refused() -> None:
    with pytest.raises(DataError, match="'brand' is None"):
        clean_items(items({"item_id": "i"}).drop("brand"))
    with pytest.raises(DataError, match="'price' is String"):
        clean_items(items({"item_id": "i"}).with_columns(pl.lit("1").alias("price")))
    with pytest.raises(DataError, match="'text' is the name"):
        clean_items(items({"item_id": "i"}).with_columns(pl.lit("x").alias("text")))
    with pytest.raises(DataError, match="no data"):
        clean_items(items({"item_id": " ", "title": "t"}))
