"""What starts runs by events (a new day drop, the end of a stage, drift of what is served), and what tells a person."""

import dagster as dg

from assets.partitions import home
from orchestration.alerts import Webhook
from orchestration.cycle import next_request
from orchestration.freshness import STAGE_TAG, Freshness
from orchestration.instance import DRIVER_TAG, PROCESS
from orchestration.jobs import base_job, days_job, jobs, nightly_base_job, publish_job, segments_job
from orchestration.schedules import request_adaptation, request_new_days

WILL_RETRY_TAG = "dagster/will_retry"  # set by Dagster when a run fails


@dg.sensor(job=days_job, minimum_interval_seconds=60)
def new_days(context: dg.SensorEvaluationContext):
    """Starts a cycle as soon as a day drop is new or has changed."""
    return request_new_days(context.instance)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=jobs, minimum_interval_seconds=10,
    request_jobs=[base_job, nightly_base_job, segments_job, publish_job],
    default_status=dg.DefaultSensorStatus.RUNNING)
def next_stage(context: dg.RunStatusSensorContext):
    """Carries a cycle on: days → base → segments → publish."""
    tags = context.dagster_run.tags
    if STAGE_TAG not in tags or tags.get(DRIVER_TAG) == PROCESS:
        return dg.SkipReason("Not a run that the daemon has to follow up.")
    request = next_request(tags, Freshness(home, context.instance))
    return request or dg.SkipReason("The cycle is complete.")


@dg.sensor(jobs=[days_job, base_job, nightly_base_job, segments_job, publish_job], minimum_interval_seconds=3600)
def drift(context: dg.SensorEvaluationContext):
    """Starts a cycle that adapts again what the service's answers have drifted away from."""
    return request_adaptation(context.instance)


@dg.run_failure_sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failed_runs(context: dg.RunFailureSensorContext, alerts: Webhook):
    """Tells of every run that failed and is not tried again; checks that block fail their run."""
    if context.dagster_run.tags.get(WILL_RETRY_TAG) == "true":
        return dg.SkipReason("The run is tried again.")
    return dg.SkipReason(alerts.tell_failures(context.instance, [context.dagster_run]))


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def verdicts(alerts: Webhook):
    """Tells of every bundle that was held or refused and every champion that went back, and posts again what still waits."""
    return dg.SkipReason(alerts.tell_verdicts())


sensors = [new_days, next_stage, drift, failed_runs, verdicts]
