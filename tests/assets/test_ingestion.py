"""Raw tables: one partition per delivered day, and clear words about days without one."""

import json
import shutil

import polars as pl
import pytest

from recsys_core import schema
from tests.assets.runs import DAYS, materialize, root_message


def metadata(result, asset: str) -> dict:
    """Metadata of an asset's first materialization in a run."""
    events = [event for event in result.get_asset_materialization_events() if event.asset_key.path == [asset]]
    return {name: entry.value for name, entry in events[0].materialization.metadata.items()}


def test_a_period_loads_as_one_run_with_one_partition_per_day(made_home) -> None:
    home, days, _ = made_home
    events = [e for e in days.get_asset_materialization_events() if e.asset_key.path == ["raw_events"]]
    assert sorted(event.partition for event in events) == DAYS
    raw = pl.read_parquet(home.path / "raw" / "raw_events" / "*.parquet")
    assert dict(raw.schema) == schema.RAW_EVENTS
    lines = sum(1 for drop in (home.path.parent / "shop" / "events").iterdir() for _ in drop.open())
    assert raw.height == lines == sum(metadata_rows(event) for event in events)


def metadata_rows(event) -> int:
    return event.materialization.metadata["dagster/row_count"].value


def test_a_day_without_a_drop_is_an_error_alone_and_listed_in_a_range(home) -> None:
    (home.path.parent / "shop" / "events" / "2024-03-05.jsonl").unlink()
    alone = materialize(home, "ingestion", days=["2024-03-05"], with_checks=False, raise_on_error=False)
    assert "raw_events: no data for 2024-03-05" in root_message(alone)
    assert "deliver the day's drop" in root_message(alone)
    period = materialize(home, "ingestion", days=["2024-03-04", "2024-03-05", "2024-03-06"], with_checks=False)
    assert metadata(period, "raw_events")["closed_days"] == ["2024-03-05"]
    assert sorted(path.stem for path in (home.path / "raw" / "raw_events").iterdir()) == ["2024-03-04", "2024-03-06"]


def test_an_empty_drop_stops_the_run_before_anything_is_written(home) -> None:
    (home.path.parent / "shop" / "events" / "2024-03-05.jsonl").write_text("")
    result = materialize(home, "ingestion", days=["2024-03-04", "2024-03-05"], with_checks=False, raise_on_error=False)
    assert "2024-03-05.jsonl: holds no events" in root_message(result)
    assert not (home.path / "raw" / "raw_events").exists()


def test_unreadable_lines_are_set_aside_and_shown(home) -> None:
    with open(home.path.parent / "shop" / "events" / "2024-03-05.jsonl", "a") as drop:
        drop.write('{"user_id": "u001", "timest\n')
    result = materialize(home, "ingestion", days=["2024-03-05"], with_checks=False)
    shown = metadata(result, "raw_events")
    assert shown["unreadable_lines"] == 1
    assert "2024-03-05.jsonl" in shown["examples"]


def test_a_shop_without_users_has_an_empty_table(home) -> None:
    shop = home.path.parent / "shop"
    (shop / "users.csv").unlink()
    settings = shop / "shop.yaml"
    settings.write_text("\n".join(line for line in settings.read_text().splitlines() if "atlantis" not in line)
                        .replace(", nobody]", "]"))
    materialize(home, "ingestion", days=["2024-03-05"], with_checks=False)
    assert pl.read_parquet(home.path / "raw" / "raw_users.parquet").schema == {"user_id": pl.String}


def test_without_shelves_and_promotions_there_are_empty_tables(made_home) -> None:
    home, _, _ = made_home
    for table, contract in (("raw_shelves", schema.RAW_SHELVES), ("raw_promotions", schema.RAW_PROMOTIONS)):
        frame = pl.read_parquet(home.path / "raw" / f"{table}.parquet")
        assert frame.schema == contract and frame.is_empty()


def test_judgments_are_those_of_the_shop(made_home) -> None:
    home, _, _ = made_home
    frame = pl.read_parquet(home.path / "raw" / "raw_judgments.parquet")
    assert frame.schema == schema.JUDGMENTS and len(frame) and frame["gain"].max() > 0


def test_promotions_are_those_of_the_newest_days(home) -> None:
    shop = home.path.parent / "shop"  # its last day is 12 March 2024, so the 84 days begin on 20 December
    (shop / "promotions.csv").write_text("item_id,last_day,placement,scene\nK00,2023-12-19,,\nK01,2023-12-20,,\n"
                                         "nowhere,,page,spring-fair\n")
    (shop / "shelves.csv").write_text("shelf,item_id,last_day\nOld page,K00,2020-01-01\n")
    materialize(home, "ingestion", days=["2024-03-05"])
    promotions = pl.read_parquet(home.path / "raw" / "raw_promotions.parquet")
    assert promotions.select("item_id", "placement", "context").rows() == [
        ("K01", "promoted", None), ("nowhere", "page", '{"scene": "spring-fair"}')]
    assert pl.read_parquet(home.path / "raw" / "raw_shelves.parquet")["shelf"].to_list() == ["Old page"]


@pytest.mark.parametrize("lost", ["items.csv", "events"])
def test_a_shop_that_is_not_whole_is_named(home, lost: str) -> None:
    path = home.path.parent / "shop" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = materialize(home, "ingestion", days=["2024-03-05"], with_checks=False, raise_on_error=False)
    assert f"no {lost.split('.')[0]} file among" in root_message(result)


@pytest.mark.parametrize("change", [
    {"item_id": "product"}, {"item_id": None}, {"user_id": "shopper"}])
def test_a_renamed_or_lost_column_stops_the_run_before_anything_is_written(home, change: dict) -> None:
    path = home.path.parent / "shop" / "events" / "2024-03-05.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({change.get(name, name): value for name, value in row.items()
                                        if change.get(name, name)}) + "\n" for row in rows))
    result = materialize(home, "ingestion", days=DAYS[3:6], with_checks=False, raise_on_error=False)
    assert "2024-03-05.jsonl" in root_message(result) and next(iter(change)) in root_message(result)
    assert not (home.path / "raw" / "raw_events").exists()


def test_personal_data_reach_no_file_of_the_home_and_no_log(home, caplog) -> None:
    path = home.path.parent / "shop" / "events" / "2024-03-05.jsonl"
    search = {**json.loads(path.read_text().splitlines()[0]), "event_id": "asked", "event_type": "search", "item_id": None}
    with open(path, "a") as drop:
        drop.write(json.dumps({**search, "query": "gift for ann.lee@secret.org"}) + "\n")
        drop.write(json.dumps({**search, "event_id": "odd", "timestamp": "2030-01-01T00:00:00Z", "query": "ann.lee@secret.org"})
                   + "\n")
        drop.write('{"query": "broken ann.lee@secret.org\n')
    with caplog.at_level("DEBUG"):
        result = materialize(home, "ingestion", "cleaning", days=["2024-03-05"], with_checks=False)
    tables = {file: pl.read_parquet(file) for file in home.path.rglob("*.parquet")}
    told = [row["query"] for frame in tables.values() if "query" in frame.columns for row in frame.iter_rows(named=True)]
    assert "gift for [email]" in told and "[email]" in told  # raw, clean and quarantined
    shown = [str(event.materialization.metadata) for event in result.get_asset_materialization_events()]
    assert "broken [email]" in "".join(shown)
    texts = [text for frame in tables.values() for text in frame.select(pl.col(pl.String)).unpivot()["value"].drop_nulls()]
    assert "secret" not in "".join([*texts, *shown, caplog.text])
