"""The Dagster instance in RECSYS_HOME: its settings, written where they are missing or changed."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestration.command import told_in_one_line
from recsys_core.artefacts import one_cycle, staged_file
from recsys_core.errors import RecsysError

with told_in_one_line(__name__):
    from assets.partitions import Home
    from orchestration.freshness import UNFINISHED

DRIVER_TAG, PROCESS = "recsys/driver", "process"  # a run of a command; the daemon leaves it alone

# One run at a time: the work fills the machine, and two writers never meet. Of each pool one step at a time: `days` (drops and
# clean days), `duckdb` (feature tables), `accelerator` (encoder, base model, student). A run that hangs gives up its place after
# max_runtime_seconds; a finished one that was killed, its places in the pools. A run whose process died is tried once more. One
# that failed in a step is not: data do not heal, and steps try again by themselves where storage failed for a moment.
SETTINGS = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  max_runtime_seconds: 14400
  free_slots_after_run_end_seconds: 300
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}
concurrency:
  pools: {granularity: op, default_limit: 1}
  runs: {max_concurrent_runs: 1}
python_logs:
  python_log_level: DEBUG  # Dagster's own events are DEBUG; progress.py chooses among them
  managed_python_loggers: [recsys_core, assets, orchestration]
"""


def prepare_instance(home: Path) -> Path:
    """Write `dagster.yaml` below `home` and return its folder, the value for DAGSTER_HOME.

    Raises:
        RecsysError: a path that Dagster's SQLite URLs would misread, or that cannot be written.
    """
    folder = home / "dagster"
    file = folder / "dagster.yaml"
    misread = sorted(set("%?") & set(str(home)))
    if misread:  # Dagster puts the path into a URL as it is: its records would land in another folder
        raise RecsysError("RECSYS_HOME", f"{home} holds {' and '.join(misread)}", "choose a path without % and ?")
    try:
        if not file.exists() or file.read_text() != SETTINGS:
            with staged_file(file) as staged:
                staged.write_text(SETTINGS)
    except OSError as error:
        raise RecsysError("RECSYS_HOME", f"{home} cannot be written ({error.strerror})", "choose another folder") from None
    return folder


def open_instance(home: Path) -> dg.DagsterInstance:
    """The persistent instance of one RECSYS_HOME; child processes find it through DAGSTER_HOME."""
    folder = prepare_instance(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    _write_log_unsynced(folder)
    return dg.DagsterInstance.from_config(str(folder))


def _write_log_unsynced(folder: Path) -> None:
    """Let this process write Dagster's event log without waiting for the disk after every event.

    A year of days is thousands of events, each committed by itself. A killed process loses none of
    them; a power cut might, and then costs a rerun of what the log forgot, never an artefact.
    """

    @event.listens_for(Engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            file = connection.execute("PRAGMA database_list").fetchone()[2]
            if file and Path(file).is_relative_to(folder):
                connection.execute("PRAGMA synchronous = OFF")


@contextmanager
def only_cycle(home: Path) -> Iterator[None]:
    """Hold RECSYS_HOME for one command's cycle; the lock ends with the process, however that ends.

    Raises:
        RecsysError: another command runs a cycle there.
    """
    prepare_instance(home)
    with one_cycle(home):
        yield


def bury_killed_runs(instance: dg.DagsterInstance) -> int:
    """Close what killed commands left open, so that their places in the pools are free again.

    Only for the holder of `only_cycle`: while it holds the lock, no run of a command is alive.
    """
    left = dg.RunsFilter(tags={DRIVER_TAG: PROCESS}, statuses=UNFINISHED)
    runs = instance.get_runs(left)
    for run in runs:
        instance.report_run_failed(run, "The command that drove this run was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(runs)


if __name__ == "__main__":
    with told_in_one_line(__name__):
        sys.stdout.write(f"{prepare_instance(Home.from_environment().path)}\n")
