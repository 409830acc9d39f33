"""Everything Dagster needs to know, in one list."""

import dagster as dg

from assets import (
    adaptation,
    base_model,
    cleaning,
    deployment,
    distillation,
    evaluation,
    features,
    ingestion,
    tasks,
)
from assets.checks import checks
from assets.partitions import home
from orchestration.jobs import jobs
from orchestration.progress import console
from orchestration.resources import make_resources
from orchestration.schedules import schedules
from orchestration.sensors import sensors

STAGES = [ingestion, cleaning, features, base_model, adaptation, evaluation, distillation, tasks, deployment]

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(STAGES),
    asset_checks=[*checks, *dg.load_asset_checks_from_modules(STAGES)],
    jobs=jobs,
    schedules=schedules,
    sensors=sensors,
    resources=make_resources(home),
    loggers={"console": console},
    # Steps share the machine's few cores and load each other's imports: one process is faster.
    executor=dg.in_process_executor,
)


def job_named(name: str) -> dg.JobDefinition:
    """One resolved job, for running it from a process of its own."""
    return defs.resolve_job_def(name)
