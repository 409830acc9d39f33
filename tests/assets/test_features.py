"""Four tables, as Parquet day by day and as views in DuckDB."""

from threading import Thread

import duckdb
import pytest

from recsys_core.artefacts import one_writer
from recsys_core.features import read_features
from recsys_core.schema import FEATURE_TABLES
from tests.assets.runs import DAYS, materialize


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


def test_the_second_of_two_writers_waits(home) -> None:
    materialize(home, "ingestion", "cleaning", days=DAYS[:3], with_checks=False)
    folder = home.path / "features"
    second = Thread(target=lambda: materialize(home, "features", with_checks=False))
    with one_writer(folder):
        second.start()
        second.join(3)
        assert second.is_alive() and list(folder.iterdir()) == []
    second.join(60)
    assert read_features(folder, "interactions").collect().height > 0
