"""Any asset by its name alone, as `dagster asset materialize --select NAME` asks for it."""

import shutil

import dagster as dg
import duckdb
import polars as pl
import pytest

from assets.partitions import Home
from orchestration.definitions import defs
from recsys_core.features import read_features
from recsys_core.schema import FEATURE_TABLES
from tests.assets.runs import DAYS, days_tags, run

KEYS = sorted(key.to_user_string() for key in defs.resolve_asset_graph().materializable_asset_keys)
BY_DAY = ["raw_events", "clean_events", "quarantined_events"]


@pytest.mark.parametrize("name", KEYS)
def test_every_asset_can_be_selected_alone(name: str) -> None:
    job = dg.define_asset_job("alone", dg.AssetSelection.assets(name))
    resolved = dg.Definitions(
        assets=defs.assets, asset_checks=defs.asset_checks, resources=defs.resources, jobs=[job]).resolve_job_def("alone")
    assert [key.to_user_string() for key in resolved.asset_layer.executable_asset_keys] == [name]


@pytest.fixture
def copied(made_home, tmp_path) -> Home:
    home = shutil.copytree(made_home[0].path, tmp_path / "home")
    return Home(folder=str(home), shop=made_home[0].shop)


@pytest.mark.parametrize("name", BY_DAY[1:])
def test_one_table_of_a_day_is_made_and_the_other_stays(copied, name: str) -> None:
    places = {table: copied.path / "clean" / table / f"{DAYS[3]}.parquet" for table in BY_DAY[1:]}
    before = {table: pl.read_parquet(place) for table, place in places.items()}
    for place in places.values():
        place.unlink()
    assert select(copied, name, DAYS[3]).success
    assert [table for table, place in places.items() if place.exists()] == [name]
    assert pl.read_parquet(places[name]).equals(before[name])


@pytest.mark.parametrize("name", FEATURE_TABLES)
def test_one_feature_table_is_brought_up_to_date_and_the_others_stay(copied, name: str) -> None:
    for place in (copied.path / "clean" / "clean_events").glob("*.parquet"):
        if place.stem > DAYS[6]:
            place.unlink()
    before = heights(copied)
    assert select(copied, name).success
    after = heights(copied)
    assert {table for table in FEATURE_TABLES if after[table] != before[table]} == {name}
    assert all(in_database == in_snapshot for in_database, in_snapshot in after.values())


def test_one_check_alone(copied) -> None:
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("clean_items"), "has_rows"))
    result = run([*defs.assets, *defs.asset_checks], copied, selection)
    assert [(e.check_name, e.passed) for e in result.get_asset_check_evaluations()] == [("has_rows", True)]


def select(home: Home, name: str, day: str | None = None):
    return run([*defs.assets, *defs.asset_checks], home, dg.AssetSelection.assets(name), days_tags([day] if day else None))


def heights(home: Home) -> dict[str, tuple[int, int]]:
    """Rows of each feature table, in its view and as it is read."""
    with duckdb.connect(str(home.path / "features" / "features.duckdb"), read_only=True) as connection:
        return {table: (connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0],
                        read_features(home.path / "features", table).collect().height) for table in FEATURE_TABLES}
