"""When cycles start by the clock: every night for new days, every week for a full fine-tune."""

import dagster as dg

from assets.partitions import home, segments, shop_config
from orchestration.cycle import first_request
from orchestration.freshness import FULL, UNFINISHED, Freshness
from orchestration.jobs import base_job, days_job
from orchestration.resources import CYCLE_TAG
from recsys_core.monitoring import DriftConfig, Reference, drift, drifting, read_observed
from recsys_core.serving import REFERENCE


def request_new_days(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """The run that loads what was delivered since the last cycle; schedule and sensor both ask here.

    The cycle is named after its days and what they hold, so whoever asks second finds it started.
    """
    state = Freshness(home, instance)
    pending = state.pending_days()
    if not pending:
        return dg.SkipReason("No new day was delivered.")
    cycle = f"{pending[-1]}-{state.delivery(pending)}"
    if instance.get_runs_count(dg.RunsFilter(tags={CYCLE_TAG: cycle})):
        return dg.SkipReason(f"Cycle {cycle} was started already.")
    if instance.get_runs_count(dg.RunsFilter(job_name=days_job.name, statuses=UNFINISHED)):
        return dg.SkipReason("Days are being loaded now.")
    return first_request(state.kind(), pending, state, cycle)


def request_adaptation(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """The run that answers drift: new days where there are any, then every segment that drifted is adapted again.

    Where all requests drifted, or those of the base, every segment is: each stands on what the base sees. A cycle is named
    after the bundle whose answers drifted, so one bundle asks once; the next one is compared with its own reference.
    """
    bundle = next((folder for folder in (home.path / "champion", home.path / "bundle") if (folder / REFERENCE).is_file()), None)
    if bundle is None:
        return dg.SkipReason("No bundle with a reference profile was published.")
    config, reference = DriftConfig(), Reference.read(bundle)
    found = drift(reference, read_observed(home.path / "collected" / "monitor", reference, config.days), config)
    names = drifting(found)
    if not names:
        return dg.SkipReason("Nothing drifted." if any(one.psi is not None for one in found) else "Too few answers to say.")
    cycle = f"drift-{reference.name}"
    if instance.get_runs_count(dg.RunsFilter(tags={CYCLE_TAG: cycle})):
        return dg.SkipReason(f"Cycle {cycle} was started already.")
    if instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)):
        return dg.SkipReason("A cycle is running now.")
    every = segments.get_partition_keys()
    forced = [name for name in every if name in names] if set(names) <= set(every) else list(every)
    state = Freshness(home, instance)
    request = first_request(state.kind(), state.pending_days(), state, cycle, forced)
    return request or dg.SkipReason(f"{', '.join(names)} drifted, but there is nothing to run.")


@dg.schedule(job=days_job, cron_schedule="0 3 * * *", execution_timezone=shop_config.time_zone)
def nightly(context: dg.ScheduleEvaluationContext):
    """New days → clean → features → stale segments → evaluation → bundle → champion."""
    return request_new_days(context.instance)


@dg.schedule(job=base_job, cron_schedule="0 5 * * 0", execution_timezone=shop_config.time_zone)
def weekly(context: dg.ScheduleEvaluationContext):
    """Fine-tune the text encoder and distil the student again, on everything loaded by then."""
    cycle = f"full-{context.scheduled_execution_time:%Y-%m-%d}"
    request = first_request(FULL, [], Freshness(home, context.instance), cycle)
    if request is None or request.job_name != base_job.name:
        return dg.SkipReason("The base model is up to date.")
    return request


schedules = [nightly, weekly]
