"""Responses by hand: two stores, three weeks, three households, every impression counted on paper."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks.rankings.responses import ENTITIES, ROW_COLUMNS, ResponseConfig, ResponseSources, build_responses
from recsys_core.errors import DataError

# household, store, week, product, quantity
TRANSACTIONS = [
    (1, 10, 1, 100, 1), (1, 10, 1, 200, 1), (1, 10, 1, 100, 2),  # bought twice on one visit: one response
    (2, 10, 1, 300, 1),
    (1, 10, 2, 300, 1), (2, 20, 2, 100, 1),
    (1, 10, 3, 100, 1), (2, 10, 3, 100, 0),                      # quantity 0 visits, but buys nothing
    (3, 30, 3, 100, 1),                                          # a store without promotions
]
# product, store, week; product 400 has no row among the products
PROMOTIONS = [
    (100, 10, 1), (100, 10, 1), (200, 10, 1), (400, 10, 1),      # one promotion on two displays is one impression
    (100, 10, 2), (100, 20, 2), (100, 10, 3), (200, 10, 3), (200, 20, 3),
]
PRODUCTS = [(100, "DELI"), (200, "MEAT"), (300, "DELI")]


@pytest.fixture
def sources(tmp_path: Path) -> ResponseSources:
    tables = {
        "transactions": (TRANSACTIONS, ["household_id", "store_id", "week", "product_id", "quantity"]),
        "promotions": (PROMOTIONS, ["product_id", "store_id", "week"]),
        "products": (PRODUCTS, ["product_id", "department"]),
    }
    for name, (rows, columns) in tables.items():
        pl.DataFrame(rows, schema=columns, orient="row").write_parquet(tmp_path / f"{name}.parquet")
    return ResponseSources(*(tmp_path / f"{name}.parquet" for name in tables))


def read_rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "impressions" / "*.parquet", hive_partitioning=False).sort(
        "week", "store_id", "household_id", "product_id")


def test_every_impression_carries_what_was_known_before_its_week(tmp_path: Path, sources: ResponseSources) -> None:
    found = build_responses(tmp_path / "out", sources, ResponseConfig())
    rows = read_rows(tmp_path / "out")
    assert found == {"impressions": 12, "responses": 4, "weeks": 3}
    assert tuple(rows.columns) == ROW_COLUMNS
    # week, store, household, product, label, own purchases, then impressions and responses before the week of
    # the product, the household, the household in the department
    assert rows.rows() == [
        (1, 10, 1, 100, 1, 0, 0, 0, 0, 0, 0, 0),
        (1, 10, 1, 200, 1, 0, 0, 0, 0, 0, 0, 0),
        (1, 10, 1, 400, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 10, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 10, 2, 200, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 10, 2, 400, 0, 0, 0, 0, 0, 0, 0, 0),
        (2, 10, 1, 100, 0, 2, 2, 1, 3, 2, 1, 1),
        (2, 20, 2, 100, 1, 0, 2, 1, 3, 0, 1, 0),
        (3, 10, 1, 100, 1, 2, 4, 2, 4, 2, 2, 1),
        (3, 10, 1, 200, 0, 1, 2, 1, 4, 2, 1, 1),
        (3, 10, 2, 100, 0, 1, 4, 2, 4, 1, 2, 1),
        (3, 10, 2, 200, 0, 0, 2, 1, 4, 1, 1, 0),
    ]


def test_states_are_the_sums_of_the_rows(tmp_path: Path, sources: ResponseSources) -> None:
    build_responses(tmp_path / "out", sources, ResponseConfig(threads=1, file_rows=3))
    rows = read_rows(tmp_path / "out").join(
        pl.read_parquet(sources.products).cast({"product_id": pl.Int32}), on="product_id", how="left").with_columns(
        pl.col("department").fill_null(""))
    for entity, keys in ENTITIES.items():
        state = pl.read_parquet(tmp_path / "out" / f"{entity}.parquet")
        expected = rows.group_by(*keys, "week").agg(
            pl.len().cast(pl.Int32).alias("impressions"), pl.col("label").cast(pl.Int32).sum().alias("responses"))
        assert state.select(*keys, "week", "impressions", "responses").equals(expected.sort(*keys, "week"))


def test_counts_alone(tmp_path: Path, sources: ResponseSources) -> None:
    found = build_responses(tmp_path / "out", sources, ResponseConfig(impressions=False))
    assert found == {"impressions": 12, "responses": 4, "weeks": 3}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "household.parquet", "household_department.parquet", "product.parquet", "responses.json"]


def test_nothing_is_replaced_when_the_sources_are_wrong(tmp_path: Path, sources: ResponseSources) -> None:
    build_responses(tmp_path / "out", sources, ResponseConfig())
    pl.DataFrame({"product_id": [1]}).write_parquet(sources.promotions)
    with pytest.raises(DataError, match="store_id"):
        build_responses(tmp_path / "out", sources, ResponseConfig())
    assert (tmp_path / "out" / "responses.json").is_file()
    pl.DataFrame([(100, 10, 9)], schema=["product_id", "store_id", "week"], orient="row").write_parquet(
        sources.promotions)
    with pytest.raises(DataError, match="0 impressions"):
        build_responses(tmp_path / "out", sources, ResponseConfig())
