"""Great Expectations suites: good tables pass, every planted fault fails by name."""

import math
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from expectations.suites import SUITES, expectation_names, validate
from recsys_core.schema import (
    CLEAN_EVENTS,
    CLEAN_ITEMS,
    FEATURE_TABLES,
    JUDGMENTS,
    RAW_EVENTS,
    RAW_ITEMS,
    RAW_PROMOTIONS,
    RAW_SHELVES,
)

SCHEMAS = {"raw_events": RAW_EVENTS, "raw_items": RAW_ITEMS, "raw_shelves": RAW_SHELVES,
           "raw_promotions": RAW_PROMOTIONS, "raw_judgments": JUDGMENTS, "clean_events": CLEAN_EVENTS,
           "clean_items": CLEAN_ITEMS, **FEATURE_TABLES}
NOON = datetime(2024, 6, 10, 12, tzinfo=UTC)


def table(name: str, rows: int = 3) -> pl.DataFrame:
    """A table that keeps its contract: distinct texts, ones for numbers."""
    def value(column: str, dtype: Any, row: int) -> Any:
        if column == "event_type":
            return "purchase"
        if column == "context":
            return f'{{"store": "{row}"}}' if row else None
        if dtype == pl.Date:
            return NOON.date()
        if dtype == pl.String:
            return f"{column}{row}"
        times = {"timestamp": NOON, "started_at": NOON, "ended_at": NOON}
        return times.get(column, 1)

    schema = SCHEMAS[name]
    records = [{c: value(c, d, row) for c, d in schema.items()} for row in range(rows)]
    return pl.DataFrame(records, schema=schema)


def failed(name: str, frame: pl.DataFrame, **options: Any) -> list[str]:
    results = validate(name, frame, **options)
    assert [result.name for result in results] == expectation_names(name)
    return [result.name for result in results if not result.success]


def test_every_table_has_a_suite_of_usable_names() -> None:
    assert set(SUITES) == set(SCHEMAS)
    for name, suite in SUITES.items():
        names = expectation_names(name)
        assert names[0] == "has_rows"
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9_]+", slug) for slug in names)
        identities = [(e.kind, e.arguments.get("column")) for e in suite]
        assert len(set(identities)) == len(identities)  # results are told apart by these
        assert {column for e in suite for column in e.columns} <= set(SCHEMAS[name])


@pytest.mark.parametrize("name", SUITES)
def test_good_empty_and_null_tables(name: str) -> None:
    good = table(name)
    assert failed(name, good) == []
    assert "has_rows" in failed(name, good.clear())
    assert failed(name, good.clear(), allow_empty=True) == []
    nulls = pl.DataFrame({c: [None] * 3 for c in good.columns}, schema=good.schema)
    present = [slug for slug in expectation_names(name) if slug.endswith("_present")]
    assert present and set(present) <= set(failed(name, nulls))
    assert set(present) <= set(failed(name, nulls, allow_empty=True))


FLOATS = {name: [c for c, dtype in schema.items() if dtype.is_float()] for name, schema in SCHEMAS.items()}


@pytest.mark.parametrize("name", [name for name, columns in FLOATS.items() if columns])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_columns_that_are_not_finite_fail(name: str, value: float) -> None:
    broken = failed(name, table(name).with_columns(pl.lit(value).alias(column) for column in FLOATS[name]))
    assert {f"{column}_finite" for column in FLOATS[name]} <= set(broken)


@pytest.mark.parametrize(("name", "column", "value", "broken"), [
    ("clean_events", "event_id", "same", "event_id_unique"),
    ("clean_events", "event_type", "buy", "event_type_known"),
    ("clean_events", "price", -0.01, "price_in_range"),
    ("clean_events", "quantity", 0.0, "quantity_in_range"),
    ("clean_events", "timestamp", datetime(1970, 5, 1, tzinfo=UTC), "timestamp_in_range"),
    ("clean_events", "item_id", None, "item_or_query_present"),
    ("clean_events", "session_id", None, "session_id_present"),
    ("clean_events", "propensity", 1.5, "propensity_in_range"),
    ("clean_items", "item_id", "same", "item_id_unique"), ("clean_items", "text", " ", "text_not_blank"),
    ("clean_items", "price", -1.0, "price_in_range"),
    ("item_features", "item_id", "same", "item_id_day_unique"),
    ("item_features", "purchases", -1, "purchases_in_range"),
    ("item_features", "revenue", None, "revenue_present"),
    ("segment_events", "segment", None, "segment_present"),
    ("interactions", "event_type", "impression", "event_type_known"),
    ("interactions", "item_id", None, "item_id_present"),
    ("interactions", "context", "store 7", "context_is_an_object"), ("clean_events", "context", "{}", "context_is_an_object"),
    ("raw_events", "context", "[]", "context_is_an_object"),
    ("raw_shelves", "shelf", None, "shelf_present"), ("raw_shelves", "last_day", date(2024, 6, 9), "days_in_order"),
    ("raw_promotions", "item_id", None, "item_id_present"), ("raw_promotions", "placement", None, "placement_present"),
    ("raw_promotions", "first_day", date(2024, 6, 11), "days_in_order"),
    ("raw_promotions", "context", "7", "context_is_an_object"),
    ("raw_judgments", "query", None, "query_present"), ("raw_judgments", "gain", math.inf, "gain_finite"),
    ("exposures", "label", 2, "label_known"),
    ("exposures", "item_conversions", 2, "conversions_below_impressions"),
    ("exposures", "event_id", "same", "event_id_unique"),
])
def test_planted_faults_fail_by_name(name: str, column: str, value: Any, broken: str) -> None:
    frame = table(name).with_columns(pl.lit(value, dtype=SCHEMAS[name][column]).alias(column))
    assert broken in failed(name, frame)


def test_one_bad_row_of_many_fails_a_clean_table_with_an_example() -> None:
    frame = table("clean_events", 500)
    frame = frame.with_columns(pl.when(pl.int_range(500) == 7).then(-3.0).otherwise("price").alias("price"))
    [result] = [r for r in validate("clean_events", frame) if not r.success]
    assert result.name == "price_in_range"
    assert "1 of 500" in result.observed and "-3.0" in result.detail


def test_raw_tables_bear_dirt_but_no_broken_column() -> None:
    frame = table("raw_events", 10)
    def without_users(rows: int) -> pl.DataFrame:
        return frame.with_columns(
            pl.when(pl.int_range(10) < rows).then(None).otherwise("user_id").alias("user_id"))

    assert failed("raw_events", without_users(4)) == []
    assert failed("raw_events", without_users(6)) == ["user_id_present"]


def test_a_missing_column_fails_what_needs_it_and_nothing_else() -> None:
    results = {r.name: r for r in validate("clean_items", table("clean_items").drop("text"))}
    assert [name for name, r in results.items() if not r.success] == ["text_present", "text_not_blank"]
    assert "'text' is missing" in results["text_present"].detail


@pytest.mark.parametrize("column", ["first_day", "last_day"])
def test_an_open_side_is_in_order(column: str) -> None:
    for name in ("raw_shelves", "raw_promotions"):
        assert failed(name, table(name).with_columns(pl.lit(None, dtype=pl.Date).alias(column))) == []


def test_searches_need_a_query_and_no_item() -> None:
    search = table("clean_events").with_columns(
        pl.lit("search").alias("event_type"), pl.lit(None, dtype=pl.String).alias("item_id"))
    assert failed("clean_events", search) == []
    assert failed("clean_events", search.with_columns(pl.lit(None, dtype=pl.String).alias("query"))) == [
        "item_or_query_present"]


def test_names_do_not_load_the_library() -> None:
    code = ("import sys; from expectations import suites; suites.expectation_names('clean_events'); "
            "print([m for m in ('great_expectations', 'pandas', 'dagster') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
