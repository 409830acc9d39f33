"""Four tables, as Parquet day by day and as views in DuckDB."""

import duckdb
import pytest

from recsys_core.features import read_features
from recsys_core.schema import FEATURE_TABLES


@pytest.mark.parametrize("table", FEATURE_TABLES)
def test_views_and_tables_hold_the_same_rows(made_home, table: str) -> None:
    home, _, _ = made_home
    snapshot = read_features(home.path / "features", table).collect()
    assert dict(snapshot.schema) == FEATURE_TABLES[table]
    with duckdb.connect(str(home.path / "features" / "features.duckdb"), read_only=True) as connection:
        stored = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
    assert stored == snapshot.height > 0


def test_segments_of_the_shop_file_are_selected(made_home) -> None:
    home, _, _ = made_home
    events = read_features(home.path / "features", "segment_events").collect()
    assert set(events["segment"]) == {"toys", "stationery", "spring-fair", "new-shoppers"}
