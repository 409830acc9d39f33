"""Resources: where tables and folders go, where work runs, and MLflow with one parent run per cycle.

`Tracking` wraps dagster-mlflow and works round what is wrong with it for assets: runs that failed
are closed as failed (its atexit handler would close them as finished), a finished Dagster run is
not opened again, the run is closed when the Dagster run ends (its hook waits for one certain
step), and artefacts go under RECSYS_HOME. Whatever MLflow cannot take now is kept in
`RECSYS_HOME/mlflow_waiting` and logged by the next run that finds MLflow back; a stage never fails
for it.
"""

import atexit
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from assets.io import DayFiles, FeatureIO, FolderIO, TableIO
from assets.partitions import Home
from orchestration.alerts import make_webhook
from orchestration.fan_out import choose_fan_out
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.deployment import save_model

log = logging.getLogger(__name__)
CYCLE_TAG = "recsys/cycle"
EXPERIMENT = MODEL = "fewshot-recsys"
TRACKING_URI = "MLFLOW_TRACKING_URI"  # it may hold a password: it is read when it is used, and no page of Dagster shows it


class Tracking(dg.ConfigurableResource):
    """MLflow for assets: `tracking.log(...)` for what was measured, `tracking.register(...)` for the champion.

    Args:
        home: RECSYS_HOME. uri: the tracking store; by default a SQLite file in RECSYS_HOME.
    """

    home: str
    uri: str

    _run: dg.DagsterRun | None = PrivateAttr(default=None)
    _mlflow: Any = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Tracking"]:
        """Open this Dagster run's MLflow run under its cycle's parent; close both with the run's outcome."""
        self._run = context.dagster_run
        current = context.instance.get_run_by_id(context.run_id or "") if context.instance else None
        if current is None or current.is_finished:
            yield self  # Dagster builds resources once more after the end: nothing may be reopened
            return
        self._mlflow = self._open(context)
        try:
            yield self
        finally:
            self._close(failed=_has_failed(context))

    def log(self, *, params: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None,
            curves: Mapping[str, Sequence[float]] | None = None, folders: Mapping[str, Path] | None = None,
            tags: Mapping[str, str] | None = None) -> None:
        """Log to this run's MLflow run, or keep it for later when MLflow is away.

        Args:
            params, metrics, tags: name → value. curves: name → one value per step, from step 0.
            folders: name in MLflow → folder or file to copy there.
        """
        self._deliver({
            "params": {k: str(v) for k, v in (params or {}).items()},
            "metrics": {k.replace("@", "_at_"): float(v) for k, v in (metrics or {}).items()},  # MLflow takes no @
            "curves": {k: [float(x) for x in v] for k, v in (curves or {}).items()},
            "folders": {k: str(v) for k, v in (folders or {}).items()}, "tags": dict(tags or {})})

    def register(self, bundle: Path, promoted: bool, reason: str) -> None:
        """Log a bundle as a version of the registered pyfunc model and, if promoted, move the alias to it.

        A refused challenger is a version too, so that its figures stay beside its reason; the alias,
        which is what serving follows, does not move.

        Args:
            bundle: its folder. promoted: its gates hold. reason: why, or why not.
        """
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            save_model(bundle, Path(folder) / "model")
            self._deliver({"params": {}, "metrics": {}, "curves": {}, "folders": {"model": str(Path(folder) / "model")},
                           "tags": {"gate": "promoted" if promoted else "refused"},
                           "version": {"promoted": promoted, "reason": reason}})

    def _deliver(self, entry: dict[str, Any]) -> None:
        try:
            if self._mlflow is None:
                raise ConnectionError("no MLflow run is open")
            _send(self._mlflow.tracking_client, self._mlflow.active_run().info.run_id, entry)
        except Exception as error:
            self._keep(entry, error)

    # --- opening and closing ---

    def _open(self, context: dg.InitResourceContext) -> Any:
        try:
            mlflow = _import_mlflow()
            client = _experiment_client(self.uri, Path(self.home))
            cycle = context.dagster_run.tags.get(CYCLE_TAG)
            parent = _parent_run(client, cycle)
            from dagster_mlflow.resources import MlFlow

            config = {"experiment_name": EXPERIMENT, "mlflow_tracking_uri": self.uri, "parent_run_id": parent,
                      "extra_tags": {CYCLE_TAG: cycle} if cycle else {}}
            run = MlFlow(SimpleNamespace(log=context.log, dagster_run=context.dagster_run,
                                         run_id=context.run_id, resource_config=config))
            atexit.unregister(mlflow.tracking.fluent._safe_end_run)
            if parent:  # entering it gave it the job's name
                client.update_run(parent, name=f"cycle {cycle}")
            self._send_waiting(client)
            return run
        except Exception as error:
            log.warning("MLflow at %s is away (%s); what would be logged is kept in %s",
                        _without_password(self.uri), _first_line(error), self._waiting)
            return None

    def _close(self, failed: bool) -> None:
        if self._mlflow is None:
            return
        try:
            self._mlflow.end_run("FAILED" if failed else "FINISHED")
            if self._mlflow.active_run() is not None:  # the cycle's parent
                self._mlflow.end_run("FAILED" if failed else "FINISHED")
        except Exception as error:
            log.warning("MLflow run stays open: %s", _first_line(error))
        self._mlflow = None

    # --- keeping for later ---

    @property
    def _waiting(self) -> Path:
        return Path(self.home) / "mlflow_waiting"

    def _keep(self, entry: dict[str, Any], error: Exception) -> None:
        """Write one entry, with copies of its folders, to the waiting room."""
        run = self._run
        folder = self._waiting / str(time.time_ns())
        with staged_folder(folder) as staging:
            for key, source in entry["folders"].items():
                inside = Path("folders", key, Path(source).name)
                (staging / inside).parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if Path(source).is_dir() else shutil.copy2)(source, staging / inside)
                entry["folders"][key] = str(folder / inside)
            entry["run"] = {"name": run.job_name if run else "outside a run",
                            "dagster_run_id": run.run_id if run else folder.name,
                            "cycle": run.tags.get(CYCLE_TAG) if run else None}
            write_json(staging / "entry.json", entry)
        log.warning("MLflow did not take the log (%s); kept in %s", _first_line(error), folder)

    def _send_waiting(self, client: Any) -> None:
        """Log what earlier runs had to keep, each under its own run's name."""
        for folder in sorted(self._waiting.glob("[!.]*/")):  # a killed run leaves its half hidden
            try:
                entry = read_json(folder / "entry.json")
                _send(client, _run_of(client, entry["run"]), entry)
                shutil.rmtree(folder)
            except Exception as error:
                log.warning("%s waits on: %s", folder, _first_line(error))


def make_resources(home: Home) -> dict[str, Any]:
    """Every resource of the code location, by key."""
    return {
        "home": home,
        "raw_tables": TableIO(home=home.folder, stage="raw"),
        "clean_tables": TableIO(home=home.folder, stage="clean"),
        "clean_files": DayFiles(home=home.folder, stage="clean"),
        "feature_tables": FeatureIO(home=home.folder),
        "folders": FolderIO(home=home.folder, renamed={"evaluation_report": "report"}),
        "fan_out": choose_fan_out(os.environ.get("RECSYS_RAY")),
        "tracking": Tracking(home=home.folder, uri=dg.EnvVar(TRACKING_URI) if os.environ.get(TRACKING_URI)
                             else sqlite_url(home.path / "mlflow.db")),
        "alerts": make_webhook(home),
    }


def sqlite_url(file: Path) -> str:
    """SQLAlchemy's URL of a database file; it decodes % and ends the path at ?."""
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"


def _import_mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A server that is away should cost seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _experiment_client(uri: str, home: Path) -> Any:
    """A client, with the experiment made once and its artefacts under RECSYS_HOME."""
    import mlflow

    home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        local = uri.startswith("sqlite:")
        client.create_experiment(EXPERIMENT, (home / "mlartifacts").as_uri() if local else None)
    return client


def _parent_run(client: Any, cycle: str | None) -> str | None:
    """The MLflow run of a cycle, made by the first run that asks."""
    if cycle is None:
        return None
    return _find_or_create(client, f"tags.`recsys/parent_of` = '{cycle}'", f"cycle {cycle}",
                           {"recsys/parent_of": cycle, CYCLE_TAG: cycle})


def _run_of(client: Any, run: Mapping[str, str | None]) -> str:
    """The MLflow run of a Dagster run that could not open its own at the time."""
    tags = {"dagster_run_id": run["dagster_run_id"]}
    if run["cycle"]:
        tags |= {CYCLE_TAG: run["cycle"], "mlflow.parentRunId": _parent_run(client, run["cycle"])}
    return _find_or_create(client, f"tags.dagster_run_id = '{run['dagster_run_id']}'", run["name"], tags)


def _find_or_create(client: Any, query: str, name: str, tags: dict[str, str]) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    found = client.search_runs([experiment], query, max_results=1)
    if found:
        return found[0].info.run_id
    run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    client.set_terminated(run_id)
    return run_id


def _send(client: Any, run_id: str, entry: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()
    metrics = [Metric(key, value, now, 0) for key, value in entry["metrics"].items()]
    metrics += [Metric(key, value, now, step) for key, values in entry["curves"].items()
                for step, value in enumerate(values)]
    params = [Param(key, value) for key, value in entry["params"].items()]
    tags = [RunTag(key, value) for key, value in entry["tags"].items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), 100):
        part = slice(start, start + 100)
        client.log_batch(run_id, metrics[part], params[part], tags[part])
    for name, source in entry["folders"].items():
        path = Path(source)
        if path.is_dir():
            client.log_artifacts(run_id, str(path), name)
        else:
            client.log_artifact(run_id, str(path), name)
    if "version" in entry:
        _register(client, run_id, entry["version"])


def _register(client: Any, run_id: str, version: Mapping[str, Any]) -> None:
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    made = client.create_model_version(MODEL, source, run_id, description=version["reason"])
    if version["promoted"]:
        client.set_registered_model_alias(MODEL, "champion", made.version)


def _has_failed(context: dg.InitResourceContext) -> bool:
    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    return bool(context.instance.get_records_for_run(context.run_id, of_type=failures, limit=1).records)


def _first_line(error: Exception) -> str:
    return _without_password(str(error).strip().split("\n")[0])[:200]


def _without_password(text: str) -> str:
    """A text whose URLs name neither user nor password."""
    return re.sub(r"//[^/@\s]*@", "//", text)
