"""The instance lives in RECSYS_HOME and keeps to itself."""

import sqlite3

import yaml
from sqlalchemy import create_engine, text

from orchestration.instance import open_instance, prepare_instance


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
