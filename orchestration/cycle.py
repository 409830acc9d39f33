"""A cycle: ordered runs (days → base → segments → publish) that share a tag and one MLflow parent.

One job cannot hold day-partitioned and segment-partitioned assets together, so a cycle is several
runs. `first_request` starts one and `next_request` continues it, leaving out what is up to date; the
schedules, the sensors and `python -m orchestration.cycle` (which runs them one after the other in
this process) all use these two.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestration.command import told_in_one_line

with told_in_one_line(__name__):
    import dagster as dg

    from assets.partitions import Home, days, partition_tags, segments
    from orchestration.alerts import make_webhook
    from orchestration.freshness import (
        BASE,
        DAYS,
        FORCED_TAG,
        FULL,
        INPUTS_TAG,
        KIND_TAG,
        NIGHTLY,
        PUBLISH,
        ROOT,
        SEGMENTS,
        STAGE_TAG,
        Freshness,
    )
    from orchestration.instance import DRIVER_TAG, PROCESS, bury_killed_runs, only_cycle, open_instance
    from orchestration.progress import CONSOLE
    from orchestration.resources import CYCLE_TAG

log = logging.getLogger(__name__)
ORDER = (DAYS, BASE, SEGMENTS, PUBLISH)
JOBS = {DAYS: "days_job", BASE: "base_job", SEGMENTS: "segments_job", PUBLISH: "publish_job"}
NIGHTLY_BASE_JOB = "nightly_base_job"
# A run that Dagster tries again reads everything again: a drop may have changed since the steps that went well.
RETRIED_WHOLE = {"dagster/retry_strategy": "ALL_STEPS"}


def first_request(kind: str, pending: Sequence[str], state: Freshness, cycle: str,
                  forced: Sequence[str] = ()) -> dg.RunRequest | None:
    """The first run of a cycle: the pending days where there are any, else the first stage that is not fresh.

    Args:
        kind: `full` (fine-tune and distil) or `nightly` (only what new days change).
        pending: ISO days to load. state: what is up to date. cycle: the name that all its runs share.
        forced: segments that are adapted again whatever is up to date.
    """
    tags = {CYCLE_TAG: cycle, KIND_TAG: kind} | ({FORCED_TAG: ",".join(forced)} if forced else {})
    if pending:
        return _request(DAYS, tags, state, partition_tags(state.reopened(pending), days))
    return next_request({**tags, STAGE_TAG: DAYS}, state)


def next_request(tags: Mapping[str, str], state: Freshness) -> dg.RunRequest | None:
    """The run that follows a finished one of the same cycle, or None at the cycle's end.

    Args:
        tags: of the finished run. state: what is up to date, after that run.
    """
    for stage in ORDER[ORDER.index(tags[STAGE_TAG]) + 1:]:
        if stage == SEGMENTS:
            stale = {*state.stale_segments(), *filter(None, tags.get(FORCED_TAG, "").split(","))}
            if stale:
                return _request(stage, tags, state, partition_tags(stale, segments))
        elif not state.is_fresh(stage, tags[KIND_TAG]):
            return _request(stage, tags, state, {})
        log.info("%s: up to date", stage)
    return None


def _request(stage: str, tags: Mapping[str, str], state: Freshness,
             partitions: Mapping[str, str]) -> dg.RunRequest:
    carried = {name: tags[name] for name in (CYCLE_TAG, KIND_TAG, DRIVER_TAG, FORCED_TAG) if name in tags}
    nightly_base = stage == BASE and tags[KIND_TAG] == NIGHTLY
    return dg.RunRequest(
        run_key=f"{tags[CYCLE_TAG]}:{stage}", job_name=NIGHTLY_BASE_JOB if nightly_base else JOBS[stage],
        run_config=CONSOLE, tags={**carried, **RETRIED_WHOLE, STAGE_TAG: stage, INPUTS_TAG: state.inputs(stage), **partitions})


def run_cycle(state: Freshness, kind: str | None = None) -> bool:
    """Run a whole cycle in this process; False as soon as a run fails.

    Args:
        state: the home and the instance. kind: `full` or `nightly`; None decides by what is there.
    """
    kind = kind or state.kind()
    name = f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    request = first_request(kind, state.pending_days(), state, name)
    if request is None:
        print(f"Everything is up to date in {state.home.path}.")
    while request is not None:
        tags = {**request.tags, DRIVER_TAG: PROCESS}
        if not _execute(request.job_name, tags, state.instance):
            return False
        request = next_request(tags, state)
    return True


def _execute(job_name: str, tags: Mapping[str, str], instance: dg.DagsterInstance) -> bool:
    job = dg.build_reconstructable_job("orchestration.definitions", "job_named", (job_name,),
                                       reconstructor_working_directory=str(ROOT))
    with dg.execute_job(job, instance, run_config=CONSOLE, tags=dict(tags)) as result:
        for event in result.get_step_failure_events():
            if (fault := _fault(event.step_failure_data.error)) is not None:
                print(f"\n{event.step_key} failed: {fault}", file=sys.stderr)
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                print(f"\ncheck {check.check_name} of {check.asset_key.to_user_string()} failed: "
                      f"{check.description}", file=sys.stderr)
        return result.success


def _fault(error: Any) -> str | None:
    """The one line of a failed step's first cause; None for a check, which says itself what it found."""
    while error.cause is not None:
        error = error.cause
    if error.cls_name == "DagsterAssetCheckFailedError":
        return None
    line = " ".join(error.message.split())
    return re.sub(r"^recsys_core\.errors\.\w+: ", "", line)  # our own say what they are about


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m orchestration.cycle [--kind full|nightly]`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=(FULL, NIGHTLY), help="default: full once, nightly from then on")
    options = parser.parse_args(arguments)
    for name in ("recsys_core", "assets", "orchestration"):
        logging.getLogger(name).propagate = False  # some library gives the root a handler: no line twice
    home = Home.from_environment()
    with only_cycle(home.path), open_instance(home.path) as instance:
        begun = datetime.now(UTC)
        bury_killed_runs(instance)
        done = run_cycle(Freshness(home, instance), options.kind)
        _tell(home, instance, begun)
        return 0 if done else 1


def _tell(home: Home, instance: dg.DagsterInstance, begun: datetime) -> None:
    """Send the alerts that the daemon's sensors would send: it does not look at the runs of a command."""
    alerts = make_webhook(home)
    if alerts.url:
        failed = dg.RunsFilter(tags={DRIVER_TAG: PROCESS}, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=begun)
        alerts = alerts.process_config_and_initialize()
        alerts.tell_failures(instance, instance.get_runs(failed))
        alerts.tell_verdicts()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with told_in_one_line(__name__):
        sys.exit(main())
