"""Six tables, in DuckDB for queries and in Parquet for readers."""

import duckdb
import polars as pl
import pytest

from recsys_core.schema import FEATURE_TABLES


@pytest.mark.parametrize("table", FEATURE_TABLES)
def test_database_and_snapshot_hold_the_same_rows(made_home, table: str) -> None:
    home, _, _ = made_home
    snapshot = pl.read_parquet(home.path / "features" / f"{table}.parquet")
    assert dict(snapshot.schema) == FEATURE_TABLES[table]
    with duckdb.connect(str(home.path / "features" / "features.duckdb"), read_only=True) as connection:
        stored = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
    assert stored == snapshot.height > 0


def test_segments_of_the_shop_file_are_selected(made_home) -> None:
    home, _, _ = made_home
    events = pl.read_parquet(home.path / "features" / "segment_events.parquet")
    assert set(events["segment"]) == {"toys", "stationery", "spring-fair", "new-shoppers"}
