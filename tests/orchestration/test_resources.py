"""MLflow: one parent per cycle, honest outcomes, and nothing lost while it is away."""

from pathlib import Path

import dagster as dg
import pytest

from orchestration.resources import CYCLE_TAG, EXPERIMENT, MODEL, TRACKING_URI, Tracking, make_resources
from recsys_core.artefacts import folder_hash
from tests.assets.runs import QUIET

AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A folder with an MLflow database: making one takes seconds, so all tests share it."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def uri(shared) -> str:
    return f"sqlite:///{shared / 'mlflow.db'}"


def run(home: Path, uri: str, cycle: str, body, works: bool = True) -> None:
    """One Dagster run of a cycle with one asset that logs."""
    @dg.asset
    def stage(tracking: dg.ResourceParam[object]) -> None:
        body(tracking)
        if not works:
            raise ValueError("the stage failed")

    result = dg.materialize([stage], resources={"tracking": Tracking(home=str(home), uri=uri)}, run_config=QUIET,
                            tags={CYCLE_TAG: cycle}, raise_on_error=False)
    assert result.success == works


def mlflow_runs(uri: str, cycle: str):
    """The parent of a cycle and its children, as MLflow holds them."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], f"tags.`{CYCLE_TAG}` = '{cycle}'")
    parents = [r for r in found if r.data.tags.get("recsys/parent_of") == cycle]
    assert len(parents) == 1
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(children) == len(found) - 1
    return parents[0], children


def test_runs_of_a_cycle_lie_under_one_parent_with_what_they_logged(shared, uri, tmp_path) -> None:
    import mlflow

    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("good")
    run(shared, uri, "c1", lambda t: t.log(params={"k": 64}, metrics={"gain": 0.5}, curves={"loss": [3, 2, 1]}))
    run(shared, uri, "c1", lambda t: t.log(folders={"report": tmp_path / "report"}, tags={"gate": "promoted"}))
    parent, children = mlflow_runs(uri, "c1")
    second, first = sorted(children, key=lambda r: -r.info.start_time)
    assert (parent.info.run_name, parent.info.status) == ("cycle c1", "FINISHED")
    assert {child.info.status for child in children} == {"FINISHED"}
    assert (first.data.params, first.data.metrics) == ({"k": "64"}, {"gain": 0.5, "loss": 1.0})
    client = mlflow.MlflowClient(uri)
    assert [(m.step, m.value) for m in client.get_metric_history(first.info.run_id, "loss")] == [(0, 3), (1, 2), (2, 1)]
    assert [file.path for file in client.list_artifacts(second.info.run_id, "report")] == ["report/report.md"]
    assert second.info.artifact_uri.startswith((shared / "mlartifacts").as_uri())


def test_a_failed_run_is_failed_in_mlflow_too(shared, uri) -> None:
    run(shared, uri, "c2", lambda t: t.log(params={"k": 1}), works=False)
    parent, children = mlflow_runs(uri, "c2")
    assert [r.info.status for r in (parent, *children)] == ["FAILED", "FAILED"]


def test_what_mlflow_could_not_take_is_logged_later(shared, uri, tmp_path) -> None:
    (tmp_path / "weights").write_text("1")
    run(shared, AWAY, "c3", lambda t: t.log(metrics={"gain": 0.25}, folders={"model": tmp_path / "weights"}))
    waiting = shared / "mlflow_waiting"
    (tmp_path / "weights").write_text("overwritten since")
    assert len(list(waiting.iterdir())) == 1
    run(shared, uri, "c4", lambda t: None)
    _, (late,) = mlflow_runs(uri, "c3")
    assert (late.data.metrics, list(waiting.iterdir())) == ({"gain": 0.25}, [])
    stored = Path(late.info.artifact_uri.removeprefix("file://")) / "model" / "weights"
    assert stored.read_text() == "1"


def test_only_a_promoted_bundle_becomes_champion(shared, uri, bundle_folder) -> None:
    import mlflow

    run(shared, uri, "c5", lambda t: t.register(bundle_folder, True, "all gates hold"))
    run(shared, uri, "c6", lambda t: t.register(bundle_folder, False, "below popularity"))
    client = mlflow.MlflowClient(uri)
    versions = {v.version: v.description for v in client.search_model_versions(f"name = '{MODEL}'")}
    assert list(versions.values()).count("below popularity") == 1 and len(versions) == 2
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.description == "all gates hold"
    stored = Path(champion.source.removeprefix("file://")) / "artifacts" / "bundle"
    assert folder_hash(stored) == folder_hash(bundle_folder)


def test_a_tracking_uri_with_a_password_is_shown_nowhere(home, monkeypatch, caplog) -> None:
    monkeypatch.setenv(TRACKING_URI, "http://ann:secret@127.0.0.1:9")
    made = make_resources(home)
    assert "secret" not in str(made["tracking"])
    run(home.path, "http://ann:secret@127.0.0.1:9", "c7", lambda t: None)
    assert "MLflow at http://127.0.0.1:9 is away" in caplog.text
    assert "secret" not in caplog.text
