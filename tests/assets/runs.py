"""Run parts of the chain in process, without a persistent instance."""

import dagster as dg

from assets import cleaning, features, ingestion
from assets.checks import checks
from assets.partitions import Home, days, partition_tags
from orchestration.resources import make_resources

DAYS = [f"2024-03-{day:02d}" for day in range(1, 13)]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def materialize(home: Home, *groups: str, days: list[str] | None = None, with_checks: bool = True,
                instance: dg.DagsterInstance | None = None, raise_on_error: bool = True):
    """Materialize whole groups, with their checks, over the given days (None: a run without partitions)."""
    assets = dg.load_assets_from_modules([ingestion, cleaning, features])
    selection = dg.AssetSelection.groups(*groups)
    if not with_checks:
        selection = selection.without_checks()
    return run([*assets, *checks], home, selection, days_tags(days), instance, raise_on_error)


def run(assets, home: Home, selection=None, tags=None, instance=None, raise_on_error: bool = True):
    """Materialize some definitions with the resources of `home`."""
    return dg.materialize(assets, resources=make_resources(home), selection=selection, tags=tags, instance=instance,
                          raise_on_error=raise_on_error, run_config=QUIET)


def days_tags(keys: list[str] | None) -> dict[str, str]:
    return partition_tags(keys, days) if keys else {}


def root_message(result) -> str:
    """What the first failed step says in the end."""
    error = result.get_step_failure_events()[0].step_failure_data.error
    while error.cause is not None:
        error = error.cause
    return error.message
