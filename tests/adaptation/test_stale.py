"""Which segments must be adapted again, and why."""

import shutil

import polars as pl
import pytest

from recsys_core.adaptation.stale import resting_segments, rests, segment_fingerprints, stale_adapters
from recsys_core.artefacts import read_json, write_json
from tests.adaptation.built import SEGMENTS, built_shop


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture
def place(built, tmp_path):
    shutil.copytree(built.root / "features", tmp_path / "features")
    built.tables["interactions"].write_parquet(tmp_path / "features" / "interactions.parquet")
    (tmp_path / "base").mkdir()
    shutil.copy(built.base.folder / "base.json", tmp_path / "base" / "base.json")
    return tmp_path


def stale(built, place, names=SEGMENTS):
    return stale_adapters(built.root / "adapters", place / "base", place / "features", names)


def test_nothing_is_stale_just_after_adapting(built, place):
    assert stale(built, place) == {}


@pytest.mark.parametrize("key", ["encoder", "tokenizer", "features"])
def test_another_base_makes_every_segment_stale(built, place, key):
    base = read_json(place / "base" / "base.json")
    write_json(place / "base" / "base.json", base | {"lock": base["lock"] | {key: "0" * 64}})
    assert stale(built, place) == dict.fromkeys(SEGMENTS, f"the base has another {key}")


def test_new_events_make_only_their_segment_stale(built, place):
    table = pl.read_parquet(place / "features" / "segment_events.parquet")
    late = pl.DataFrame({"segment": ["toys"], "event_id": ["brand-new"]})
    pl.concat([table, late]).write_parquet(place / "features" / "segment_events.parquet")
    assert stale(built, place) == {"toys": "it has new events"}
    assert stale(built, place, ["nobody", "stationery"]) == {}


def test_fingerprints_know_events_not_their_order():
    events = pl.DataFrame({"segment": ["a", "a", "b"], "event_id": ["2", "1", "1"]})
    found = segment_fingerprints(events, ["a", "b", "none"])
    assert found == segment_fingerprints(events.reverse(), ["a", "b", "none"])
    assert len(set(found.values())) == 3
    assert segment_fingerprints(events.filter(pl.col("event_id") != "2"), ["a"])["a"] == found["b"]


def resting(built, place, curve: dict, adapt_from: int) -> dict[str, str]:
    write_json(place / "evaluations" / "toys" / "evaluation.json", {"curve": curve, "adapt_from": adapt_from})
    return resting_segments(built.root / "adapters", place / "evaluations", place / "base", place / "features", ["toys"])


def test_a_segment_that_did_not_pay_rests_until_its_shots_have_doubled(built, place):
    now = built.judged["toys"]["curve"]["available"]
    never = {"available": now, "break_even": None, "cap": 4}
    assert resting(built, place, never, 2 * now) == {
        "toys": f"adapting did not pay with {now} shots: not again before it has {2 * now}, it has {now}"}
    assert resting(built, place, never | {"available": now // 2}, 2 * (now // 2)) == {}


def test_a_segment_rests_below_its_break_even_only(built, place):
    now = built.judged["toys"]["curve"]["available"]
    pays = {"available": 2 * now, "break_even": now + 1, "cap": 4}
    assert resting(built, place, pays, now + 1) == {"toys": f"adapting pays from {now + 1} shots on, it has {now}"}
    assert resting(built, place, pays | {"break_even": now}, now) == {}


def test_what_was_not_measured_never_rests():
    assert rests({"curve": None, "adapt_from": 0}, 0) == ""
