"""The instance lives in RECSYS_HOME and keeps to itself."""

import sqlite3
import subprocess
import sys
import uuid

import dagster as dg
import pytest
import yaml
from sqlalchemy import create_engine, text

from orchestration.definitions import job_named
from orchestration.instance import (
    DRIVER_TAG,
    PROCESS,
    bury_killed_runs,
    only_cycle,
    open_instance,
    prepare_instance,
)
from orchestration.jobs import jobs
from orchestration.resources import sqlite_url
from recsys_core.errors import RecsysError


def test_settings_are_written_once_and_mended(tmp_path) -> None:
    file = prepare_instance(tmp_path) / "dagster.yaml"
    settings = yaml.safe_load(file.read_text())
    assert (settings["telemetry"], settings["nux"]) == ({"enabled": False}, {"enabled": False})
    assert settings["run_monitoring"]["enabled"] and settings["concurrency"]["pools"]["default_limit"] == 1
    before = file.stat().st_mtime_ns
    prepare_instance(tmp_path)
    assert file.stat().st_mtime_ns == before
    file.write_text("telemetry: {enabled: true}\n")
    prepare_instance(tmp_path)
    assert yaml.safe_load(file.read_text()) == settings


def test_dagster_takes_the_settings_and_tries_dead_runs_again_but_not_failed_steps(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(tmp_path) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 14400
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1


def test_the_feature_writer_and_the_accelerator_take_one_step_at_a_time() -> None:
    pools = {node.name: node.definition.pool for job in jobs for node in job_named(job.name).graph.nodes}
    assert {name for name, pool in pools.items() if pool == "accelerator"} == {"text_encoder", "base_model", "student"}
    assert {name for name, pool in pools.items() if pool == "duckdb"} == {"features"}


def test_only_the_event_log_is_written_without_waiting_for_the_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(tmp_path) as instance:
        assert instance.root_directory == str(tmp_path / "dagster")
        waits = {}
        for name in ("dagster/history/runs.db", "mlflow.db"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            with create_engine(f"sqlite:///{tmp_path / name}").connect() as connection:
                waits[name] = connection.execute(text("PRAGMA synchronous")).scalar()
    with sqlite3.connect(tmp_path / "plain.db") as connection:
        default = connection.execute("PRAGMA synchronous").fetchone()[0]
    assert waits == {"dagster/history/runs.db": 0, "mlflow.db": default}


@pytest.mark.parametrize("name", ["my shop [1]", "läden #2 & 3; +'店'"])
def test_a_home_of_any_other_name_holds_its_own_records(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    home = tmp_path / name
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
    assert (home / "dagster" / "history" / "runs.db").exists() and [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["100%", "my%20shop", "shop?", "what%?"])
def test_a_home_that_dagster_would_misread_is_refused_before_anything_is_written(tmp_path, name) -> None:
    with pytest.raises(RecsysError, match="choose a path without % and"):
        prepare_instance(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecsysError, match=r"RECSYS_HOME: .*file cannot be written"):
        prepare_instance(tmp_path / "file")


@pytest.mark.parametrize("name", ["my shop [1] %20 ü", "what?"])
def test_a_database_url_means_its_file(tmp_path, name) -> None:
    (tmp_path / name).mkdir()
    with create_engine(sqlite_url(tmp_path / name / "mlflow.db")).connect() as connection:
        connection.execute(text("SELECT 1"))
    assert (tmp_path / name / "mlflow.db").exists()


def test_one_command_at_a_time(tmp_path) -> None:
    with only_cycle(tmp_path):
        script = (f"from pathlib import Path; from orchestration.instance import only_cycle\n"
                  f"with only_cycle(Path({str(tmp_path)!r})): pass")
        second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "another command runs a cycle here" in second.stderr
    with only_cycle(tmp_path):
        pass


def test_a_killed_command_leaves_no_open_run_and_no_taken_place() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [dg.DagsterRun("days_job", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
                for tags in ({DRIVER_TAG: PROCESS}, {})]
        for run in runs:
            instance.add_run(run)
        instance.event_log_storage.set_concurrency_slots("days", 1)
        instance.event_log_storage.claim_concurrency_slot("days", runs[0].run_id, "raw_events")
        assert bury_killed_runs(instance) == 1
        states = [instance.get_run_by_id(run.run_id).status.value for run in runs]
        assert states == ["FAILURE", "STARTED"]  # the daemon watches over its own runs
        assert instance.event_log_storage.get_concurrency_info("days").claimed_slots == []
