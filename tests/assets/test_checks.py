"""Expectations as checks: each has its name, reads only the run's days, and stops what comes after."""

import json

import polars as pl
import pytest

from assets.checks import BY_DAY, WHOLE
from expectations.suites import expectation_names
from tests.assets.runs import materialize, root_message


@pytest.mark.parametrize("table", [*BY_DAY, *WHOLE])
def test_every_expectation_of_every_table_is_a_check_that_passed(made_home, table: str) -> None:
    _, days, features = made_home
    evaluations = [*days.get_asset_check_evaluations(), *features.get_asset_check_evaluations()]
    mine = {e.check_name: e.passed for e in evaluations if e.asset_key.path == [table]}
    assert mine == dict.fromkeys(expectation_names(table), True)


def test_a_failed_check_blocks_what_reads_the_table(home) -> None:
    drop = home.path.parent / "shop" / "events" / "2024-03-05.jsonl"
    rows = [{**json.loads(line), "user_id": None} for line in drop.read_text().splitlines()]
    drop.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = materialize(home, "ingestion", "cleaning", days=["2024-03-05"], raise_on_error=False)
    failed = {(e.asset_key.path[-1], e.check_name) for e in result.get_asset_check_evaluations() if not e.passed}
    assert failed == {("raw_events", "user_id_present")}
    assert "user_id_present" in root_message(result)
    assert not (home.path / "clean" / "clean_events").exists()


def test_only_the_days_of_the_run_are_read(home) -> None:
    materialize(home, "ingestion", days=["2024-03-05"], with_checks=False)
    other = home.path / "raw" / "raw_events" / "2024-03-06.parquet"
    pl.DataFrame({"broken": [1]}).write_parquet(other)
    result = materialize(home, "ingestion", days=["2024-03-05"])
    checked = {e.check_name for e in result.get_asset_check_evaluations() if e.asset_key.path == ["raw_events"]}
    assert result.success and checked == set(expectation_names("raw_events"))
