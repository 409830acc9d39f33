"""A cycle starts with what is new, goes on in order, and leaves out what is up to date."""

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import Home, days, keys_of, segments
from orchestration import cycle
from orchestration.cycle import first_request, next_request, run_cycle
from orchestration.freshness import BASE, DAYS, FULL, INPUTS_TAG, KIND_TAG, NIGHTLY, PUBLISH, SEGMENTS, STAGE_TAG
from orchestration.instance import DRIVER_TAG
from orchestration.resources import CYCLE_TAG


@dataclass
class State:
    """A stand-in for `Freshness` whose answers are given."""

    fresh: set[str] = field(default_factory=set)
    stale: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    home: Home = field(default_factory=lambda: Home(folder="/nowhere"))
    instance: dg.DagsterInstance | None = None

    def kind(self) -> str:
        return NIGHTLY

    def pending_days(self) -> list[str]:
        return self.pending

    def reopened(self, pending: list[str]) -> list[str]:
        return list(pending)

    def stale_segments(self) -> list[str]:
        return self.stale

    def is_fresh(self, stage: str, kind: str) -> bool:
        return stage in self.fresh

    def inputs(self, stage: str) -> str:
        return f"inputs of {stage}"


def whole_cycle(kind: str, state: State) -> list[dg.RunRequest]:
    request, made = first_request(kind, state.pending, state, "c1"), []
    while request is not None:
        made.append(request)
        request = next_request(request.tags, state)
    return made


def test_a_full_cycle_runs_every_stage_in_order() -> None:
    made = whole_cycle(FULL, State(pending=["2024-03-01", "2024-03-02"], stale=["toys", "nobody"]))
    assert [request.job_name for request in made] == ["days_job", "base_job", "segments_job", "publish_job"]
    assert [request.tags[STAGE_TAG] for request in made] == [DAYS, BASE, SEGMENTS, PUBLISH]
    assert {request.tags[CYCLE_TAG] for request in made} == {"c1"}
    assert {request.tags[KIND_TAG] for request in made} == {FULL}
    assert [request.tags[INPUTS_TAG] for request in made] == [f"inputs of {s}" for s in (DAYS, BASE, SEGMENTS, PUBLISH)]
    assert {request.tags["dagster/retry_strategy"] for request in made} == {"ALL_STEPS"}  # a retry reads the drops again
    assert len({request.run_key for request in made}) == 4


def test_days_and_segments_of_a_cycle_are_exactly_those_asked_for() -> None:
    made = whole_cycle(NIGHTLY, State(pending=["2024-03-01", "2024-03-05"], stale=["toys", "nobody"]))
    assert keys_of(made[0].tags, days) == ["2024-03-01", "2024-03-05"]
    assert keys_of(made[2].tags, segments) == ["toys", "nobody"]


def test_a_nightly_cycle_keeps_the_encoder_and_the_student() -> None:
    made = whole_cycle(NIGHTLY, State(pending=["2024-03-12"]))
    assert [request.job_name for request in made] == ["days_job", "nightly_base_job", "publish_job"]


@pytest.mark.parametrize(("fresh", "stale", "expected"), [
    ({BASE, PUBLISH}, [], []),
    ({BASE}, [], ["publish_job"]),
    ({BASE, PUBLISH}, ["toys"], ["segments_job"]),
    (set(), [], ["base_job", "publish_job"]),
])
def test_what_is_up_to_date_is_left_out(fresh: set[str], stale: list[str], expected: list[str]) -> None:
    state = State(fresh=fresh, stale=stale)
    request, made = first_request(FULL, [], state, "c1"), []
    while request is not None:
        made.append(request.job_name)
        state.stale = []
        request = next_request(request.tags, state)
    assert made == expected


def test_a_finished_run_decides_only_by_its_tags() -> None:
    tags = {STAGE_TAG: SEGMENTS, KIND_TAG: NIGHTLY, CYCLE_TAG: "c9", DRIVER_TAG: "process", "else": "dropped"}
    request = next_request(tags, State())
    assert (request.job_name, request.tags[CYCLE_TAG], request.tags[DRIVER_TAG]) == ("publish_job", "c9", "process")
    assert "else" not in request.tags


def test_in_process_the_cycle_stops_at_the_first_failure(monkeypatch) -> None:
    started = []

    def execute(job_name, tags, instance):
        started.append((job_name, tags[DRIVER_TAG]))
        return job_name != "nightly_base_job"

    monkeypatch.setattr(cycle, "_execute", execute)
    assert run_cycle(State(pending=["2024-03-01"])) is False
    assert started == [("days_job", "process"), ("nightly_base_job", "process")]


def test_in_process_an_up_to_date_home_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr(cycle, "_execute", lambda *_: pytest.fail("nothing should run"))
    assert run_cycle(State(fresh={BASE, PUBLISH}, home=Home(folder=str(Path("/some/home"))))) is True
    assert "up to date in /some/home" in capsys.readouterr().out
