"""What counts as up to date, against real days, real files and recorded runs."""

import json
import os
import time
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from assets.partitions import days, partition_tags, segments
from orchestration import freshness
from orchestration.freshness import (
    BASE,
    DAYS,
    FULL,
    INPUTS_TAG,
    KIND_TAG,
    NIGHTLY,
    PUBLISH,
    SEGMENTS,
    STAGE_TAG,
    STAGES,
    Freshness,
)
from recsys_core.collection import add_erased
from tests.assets.runs import DAYS as ALL_DAYS

NAMES = ["toys", "stationery", "spring-fair", "new-shoppers", "nobody"]


@pytest.fixture
def state(home) -> Iterator[Freshness]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Freshness(home, instance)


def record(state: Freshness, stage: str, keys=(), kind: str = FULL, success: bool = True) -> None:
    """A finished run of a stage, as a cycle would have left it."""
    partitions = {DAYS: days, SEGMENTS: segments}.get(stage)
    tags = {STAGE_TAG: stage, KIND_TAG: kind, INPUTS_TAG: state.inputs(stage),
            **(partition_tags(keys, partitions) if partitions else {})}
    status = dg.DagsterRunStatus.SUCCESS if success else dg.DagsterRunStatus.FAILURE
    state.instance.add_run(dg.DagsterRun(f"{stage}_job", run_id=str(uuid.uuid4()), tags=tags, status=status))


def make_files(state: Freshness, stage: str) -> None:
    for name in STAGES[stage].outputs:
        path = state.home.path / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        else:
            path.mkdir(parents=True, exist_ok=True)


def load_days(state: Freshness, keys=ALL_DAYS, success: bool = True) -> None:
    make_files(state, DAYS)
    folder = state.home.path / "clean" / "clean_events"
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys:
        (folder / f"{key}.parquet").write_text(key)
    record(state, DAYS, keys, success=success)


def drop(state: Freshness, day: str):
    return state.home.path.parent / "shop" / "events" / f"{day}.jsonl"


def touch(path) -> None:
    """As delivered again a little later: file clocks tick coarsely."""
    os.utime(path, (time.time() + 5, time.time() + 5))


def test_every_delivered_day_is_pending_until_a_run_succeeds(state) -> None:
    assert state.pending_days() == ALL_DAYS
    load_days(state, success=False)
    assert state.pending_days() == ALL_DAYS
    load_days(state)
    assert state.pending_days() == []


def test_new_changed_lost_and_withdrawn_days_are_pending(state) -> None:
    withheld = drop(state, "2024-03-12").rename(state.home.path.parent / "later.jsonl")
    load_days(state, ALL_DAYS[:-1])
    withheld.rename(drop(state, "2024-03-12"))
    assert state.pending_days() == ["2024-03-12"]
    load_days(state, ["2024-03-12"])
    touch(drop(state, "2024-03-03"))
    (state.home.path / "clean" / "clean_events" / "2024-03-07.parquet").unlink()
    drop(state, "2024-03-09").unlink()
    assert state.pending_days() == ["2024-03-03", "2024-03-07", "2024-03-09"]


def test_days_around_a_pending_one_are_opened_for_late_events(state) -> None:
    drop(state, "2024-03-06").unlink()
    assert state.reopened(["2024-03-05"]) == ["2024-03-03", "2024-03-04", "2024-03-05", "2024-03-07"]
    assert state.reopened(["2024-03-12"]) == ["2024-03-10", "2024-03-11", "2024-03-12"]


@pytest.mark.parametrize("table", ["items.csv", "shelves.csv", "promotions.csv", "labels.csv"])
def test_another_table_alone_re_makes_the_newest_day(state, table: str) -> None:
    path = state.home.path.parent / "shop" / table
    path.touch()
    load_days(state)
    assert state.pending_days() == []
    touch(path)
    assert state.pending_days() == ["2024-03-12"]


def test_other_code_or_settings_make_everything_pending(state, monkeypatch) -> None:
    load_days(state)
    settings = state.home.path.parent / "shop" / "shop.yaml"
    settings.write_text(settings.read_text().replace("first_days: 14", "first_days: 15"))
    assert state.pending_days() == []  # segments and families do not concern days
    settings.write_text(settings.read_text() + "families: [{name: scenes, by: context.scene}]\n")
    assert state.pending_days() == []
    settings.write_text(settings.read_text().replace("context: [scene]", "context: [scene, page]").replace(
        "time_zone: UTC", "time_zone: UTC\ncolumns: {events: {page: [page]}}"))
    assert state.pending_days() == ALL_DAYS  # what events say of their context does
    load_days(state)
    monkeypatch.setattr(freshness, "_code_hash", lambda name: "edited")
    assert state.pending_days() == ALL_DAYS


def test_a_stage_is_fresh_while_its_inputs_and_outputs_stay(state) -> None:
    load_days(state)
    make_files(state, BASE)
    assert not state.is_fresh(BASE, FULL)
    record(state, BASE)
    assert state.is_fresh(BASE, FULL) and state.is_fresh(BASE, NIGHTLY)
    events = state.home.path / "clean" / "clean_events" / "2024-03-12.parquet"
    events.write_text("same day, other rows")
    assert not state.is_fresh(BASE, NIGHTLY)
    events.write_text("2024-03-12")
    (state.home.path / "student").rmdir()
    assert not state.is_fresh(BASE, NIGHTLY)


def test_a_nightly_base_does_not_stand_in_for_a_full_one(state) -> None:
    load_days(state)
    make_files(state, BASE)
    record(state, BASE, kind=NIGHTLY)
    assert (state.is_fresh(BASE, NIGHTLY), state.is_fresh(BASE, FULL), state.kind()) == (True, False, FULL)


def test_the_first_cycle_is_full_and_later_ones_nightly(state, monkeypatch) -> None:
    assert state.kind() == FULL
    load_days(state)
    make_files(state, BASE)
    record(state, BASE)
    (state.home.path / "clean" / "clean_events" / "2024-03-13.parquet").write_text("a new day")
    assert state.kind() == NIGHTLY
    monkeypatch.setattr(freshness, "_code_hash", lambda name: "edited")
    assert state.kind() == FULL


def test_an_erased_shopper_asks_for_one_full_cycle(state) -> None:
    make_files(state, BASE)
    record(state, BASE)
    add_erased(state.home.path, "a stranger", [])
    assert state.kind() == NIGHTLY  # nothing had learned from them
    add_erased(state.home.path, "u001", ["base_model"])
    assert state.kind() == FULL
    record(state, BASE)
    assert state.kind() == NIGHTLY


@pytest.fixture
def adapted(state, monkeypatch) -> dict[str, str]:
    """All segments adapted and evaluated; the returned dict says which of them the core calls stale."""
    stale: dict[str, str] = {}
    monkeypatch.setattr("recsys_core.adaptation.stale_adapters",
                        lambda adapters, base, features, names, shop, users: {n: r for n, r in stale.items() if n in names})
    for name in NAMES:
        for asset in ("segment_adapter", "segment_evaluation"):
            (state.home.path / asset / name).mkdir(parents=True)
    record(state, SEGMENTS, NAMES)
    return stale


def test_all_segments_are_stale_before_the_first_run(state) -> None:
    assert state.stale_segments() == NAMES


def test_segments_are_stale_by_base_by_files_and_by_failure(state, adapted) -> None:
    assert state.stale_segments() == []
    adapted["nobody"] = "the base has another encoder"
    (state.home.path / "segment_evaluation" / "toys").rmdir()
    assert state.stale_segments() == ["toys", "nobody"]
    record(state, SEGMENTS, ["stationery"], success=False)
    assert state.stale_segments() == ["toys", "stationery", "nobody"]


def test_why_a_segment_is_stale_is_told(state, adapted, caplog) -> None:
    adapted["toys"] = "it has new events"
    with caplog.at_level("INFO", "orchestration.freshness"):
        assert state.stale_segments() == ["toys"]
    assert "segment toys is stale: it has new events" in caplog.text


def test_publishing_reads_every_adapter(state, adapted) -> None:
    make_files(state, PUBLISH)
    record(state, PUBLISH)
    assert state.is_fresh(PUBLISH, NIGHTLY)
    (state.home.path / "segment_adapter" / "toys" / "adapter.json").write_text(json.dumps({}))
    assert not state.is_fresh(PUBLISH, NIGHTLY)


def test_new_business_rules_are_published(state, adapted) -> None:
    make_files(state, PUBLISH)
    record(state, PUBLISH)
    (state.home.path / "rules.yaml").write_text("caps: {brand: 2}")
    assert not state.is_fresh(PUBLISH, NIGHTLY)


def test_the_same_drops_have_the_same_name(state) -> None:
    before = state.delivery(["2024-03-12"])
    assert before == state.delivery(["2024-03-12"]) != state.delivery(["2024-03-11", "2024-03-12"])
    touch(drop(state, "2024-03-12"))
    assert state.delivery(["2024-03-12"]) != before


def test_another_user_key_makes_every_stage_anew(state, monkeypatch):
    first, second = "the first key of a shop", "the second key of a shop"
    load_days(state)
    plain = {stage: state.inputs(stage) for stage in (DAYS, PUBLISH)}
    assert state.pending_days() == []
    monkeypatch.setenv("RECSYS_USER_KEY", first)
    keyed = {stage: state.inputs(stage) for stage in (DAYS, PUBLISH)}
    assert all(keyed[stage] != plain[stage] for stage in (DAYS, PUBLISH)) and state.pending_days() == ALL_DAYS
    load_days(state)
    assert state.pending_days() == []
    monkeypatch.setenv("RECSYS_USER_KEY", second)
    monkeypatch.setenv("RECSYS_USER_KEY_PREVIOUS", first)
    assert state.pending_days() == ALL_DAYS
    both = {stage: state.inputs(stage) for stage in (DAYS, PUBLISH)}
    monkeypatch.delenv("RECSYS_USER_KEY_PREVIOUS")
    assert {stage: state.inputs(stage) for stage in (DAYS, PUBLISH)} == both and second not in str(state.home)
