"""Clock and drops lead to the same run once; finished stages lead to the next."""

import os
import time
import uuid
from datetime import UTC, datetime

import dagster as dg
import pytest

from assets.partitions import keys_of, segments
from orchestration import schedules, sensors
from orchestration.cycle import next_request
from orchestration.definitions import defs
from orchestration.freshness import FORCED_TAG, KIND_TAG, NIGHTLY, STAGE_TAG, Freshness
from orchestration.instance import DRIVER_TAG
from orchestration.resources import CYCLE_TAG
from recsys_core.artefacts import write_json
from recsys_core.monitoring import Reference
from tests.assets.runs import DAYS


@pytest.fixture
def instance(home, monkeypatch):
    """An instance over a private home, which schedules and sensors look at."""
    for module in (schedules, sensors):
        monkeypatch.setattr(module, "home", home)
    with dg.DagsterInstance.ephemeral() as instance:
        # Outside tests a schedule reaches its instance by a reference, which this kind has not.
        monkeypatch.setattr(dg.ScheduleEvaluationContext, "instance", property(lambda self: instance))
        yield instance


def tick_schedule(name: str, instance: dg.DagsterInstance):
    at = datetime(2024, 3, 13, 3, tzinfo=UTC)
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
    return defs.resolve_schedule_def(name).evaluate_tick(context)


def tick_sensor(instance: dg.DagsterInstance):
    return defs.resolve_sensor_def("new_days").evaluate_tick(dg.build_sensor_context(instance))


def start(instance: dg.DagsterInstance, job_name: str, tags: dict[str, str],
          status: dg.DagsterRunStatus) -> dg.DagsterRun:
    run_id = str(uuid.uuid4())
    return instance.add_run(dg.DagsterRun(job_name, run_id=run_id, tags=tags, status=status))


def test_schedule_and_sensor_ask_for_the_same_run(instance) -> None:
    by_clock, by_drop = tick_schedule("nightly", instance).run_requests[0], tick_sensor(instance).run_requests[0]
    assert by_clock.run_key == by_drop.run_key
    ours = [{k: v for k, v in request.tags.items() if k.startswith("recsys/")} for request in (by_clock, by_drop)]
    assert ours[0] == ours[1] != {}
    assert by_drop.tags["dagster/asset_partition_range_end"] == DAYS[-1]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE])
def test_whoever_comes_second_finds_the_day_started(instance, status) -> None:
    start(instance, "days_job", tick_sensor(instance).run_requests[0].tags, status)
    ticks = [tick_schedule("nightly", instance), tick_sensor(instance)]
    assert [tick.run_requests for tick in ticks] == [[], []]
    assert all("was started already" in tick.skip_message for tick in ticks)


@pytest.mark.parametrize(("status", "requests"), [(dg.DagsterRunStatus.STARTED, 0), (dg.DagsterRunStatus.FAILURE, 1)])
def test_a_changed_drop_starts_again_but_not_beside_a_run_that_loads(instance, home, status, requests: int) -> None:
    start(instance, "days_job", tick_sensor(instance).run_requests[0].tags, status)
    with open(home.path.parent / "shop" / "events" / "2024-03-12.jsonl", "a") as drop:
        drop.write("\n")
    os.utime(drop.name, (time.time() + 5, time.time() + 5))
    assert len(tick_sensor(instance).run_requests) == requests


def test_nothing_new_is_skipped_with_a_reason(instance, monkeypatch) -> None:
    monkeypatch.setattr(schedules.Freshness, "pending_days", lambda self: [])
    assert tick_schedule("nightly", instance).skip_message == "No new day was delivered."


def test_the_weekly_schedule_starts_a_full_base(instance) -> None:
    request = tick_schedule("weekly", instance).run_requests[0]
    assert (request.job_name, request.tags[KIND_TAG], request.tags[CYCLE_TAG]) == (
        "base_job", "full", "full-2024-03-13")


def after(instance: dg.DagsterInstance, **tags: str):
    """What `next_stage` answers to a successful days run with these tags."""
    run = start(instance, "days_job", tags, dg.DagsterRunStatus.SUCCESS)
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name="days_job")
    context = dg.build_run_status_sensor_context("next_stage", event, instance, run)
    return sensors.next_stage(context)


def test_a_finished_stage_leads_to_the_next(instance) -> None:
    request = after(instance, **{STAGE_TAG: "days", KIND_TAG: NIGHTLY, CYCLE_TAG: "c1"})
    assert (request.job_name, request.tags[STAGE_TAG], request.tags[CYCLE_TAG]) == ("nightly_base_job", "base", "c1")


@pytest.mark.parametrize("tags", [{}, {STAGE_TAG: "days", KIND_TAG: NIGHTLY, CYCLE_TAG: "c1", DRIVER_TAG: "process"}])
def test_runs_by_hand_and_runs_of_a_command_are_left_alone(instance, tags) -> None:
    assert isinstance(after(instance, **tags), dg.SkipReason)


COUNTS = {"top_score": [90, 90, 0], "margin": [90, 90, 0], "history": [90, 90, 0], "popularity_rank": [90, 90, 0],
          "price": [90, 90, 0], "fallback": [180, 0]}


def observe(home, shifted: set[str], answers: int = 360) -> None:
    """A published bundle of segments `toys` and the base, and a day's counts; `shifted` ones score as the bundle never did."""
    folder, names = home.path / "champion", ["all", "base", "toys"]
    features = [name for name in COUNTS if name != "fallback"]
    counts = {name: {key: [2 * n for n in values] for key, values in COUNTS.items()} for name in names}
    counts["all"]["segment"] = [0, 180, 180]
    write_json(folder / "manifest.json", {"files": {}})
    write_json(folder / "reference.json", {"format": 1, "segments": names, "counts": counts,
                                           "edges": {name: [0.5] for name in features}})
    seen = {name: {key: [answers // 360 * n for n in values] for key, values in found.items()} for name, found in counts.items()}
    for name in shifted:
        seen[name]["top_score"] = [sum(seen[name]["top_score"]), 0, 0]
    write_json(home.path / "collected" / "monitor" / "one.json", {
        "bundle": Reference.read(folder).name, "day": str(datetime.now(UTC).date()), "counts": seen})


@pytest.fixture
def watched(instance, home, monkeypatch):
    """The drift sensor over a home whose days are loaded and whose base is up to date."""
    for module in (schedules, sensors):
        monkeypatch.setattr(module, "home", home)
    monkeypatch.setattr(schedules.Freshness, "pending_days", lambda self: [])
    monkeypatch.setattr(schedules.Freshness, "is_fresh", lambda self, stage, kind: True)
    monkeypatch.setattr(schedules.Freshness, "stale_segments", lambda self: [])
    monkeypatch.setattr(schedules.Freshness, "inputs", lambda self, stage: "same")
    for path in ("champion", "collected/monitor"):
        (home.path / path).mkdir(parents=True)
    return lambda: defs.resolve_sensor_def("drift").evaluate_tick(dg.build_sensor_context(instance))


def test_drift_of_a_segment_asks_for_its_adaptation_once(watched, home, instance) -> None:
    assert "No bundle with a reference" in watched().skip_message
    observe(home, set(), answers=0)
    assert watched().skip_message == "Too few answers to say."
    observe(home, set())
    assert watched().skip_message == "Nothing drifted."
    observe(home, {"toys"})
    (request,) = watched().run_requests
    assert (request.job_name, request.tags[FORCED_TAG]) == ("segments_job", "toys")
    assert keys_of(request.tags, segments) == ["toys"]
    run = start(instance, request.job_name, request.tags, dg.DagsterRunStatus.STARTED)
    assert "was started already" in watched().skip_message
    instance.delete_run(run.run_id)
    start(instance, "days_job", {}, dg.DagsterRunStatus.STARTED)
    assert watched().skip_message == "A cycle is running now."


def test_drift_of_all_requests_asks_for_every_segment_and_new_days_come_first(watched, home, instance, monkeypatch) -> None:
    observe(home, {"all"})
    (request,) = watched().run_requests
    assert keys_of(request.tags, segments) == segments.get_partition_keys()
    monkeypatch.setattr(schedules.Freshness, "pending_days", lambda self: [DAYS[-1]])
    (first,) = watched().run_requests
    assert first.job_name == "days_job" and first.tags[FORCED_TAG] == request.tags[FORCED_TAG]
    later = next_request({**first.tags, STAGE_TAG: "base"}, Freshness(home, instance))
    assert later.job_name == "segments_job" and keys_of(later.tags, segments) == segments.get_partition_keys()


def test_the_chain_is_on_and_what_starts_cycles_waits_to_be_switched_on() -> None:
    assert defs.resolve_sensor_def("next_stage").default_status == dg.DefaultSensorStatus.RUNNING
    assert defs.resolve_sensor_def("new_days").default_status == dg.DefaultSensorStatus.STOPPED
    assert defs.resolve_sensor_def("drift").default_status == dg.DefaultSensorStatus.STOPPED
    assert defs.resolve_schedule_def("nightly").default_status == dg.DefaultScheduleStatus.STOPPED
