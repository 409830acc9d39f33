"""Which segments must be adapted again, and why."""

import shutil

import polars as pl
import pytest

from recsys_core.adaptation.stale import segment_fingerprints, stale_adapters
from recsys_core.artefacts import read_json, write_json
from tests.adaptation.built import SEGMENTS, built_shop


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture
def place(built, tmp_path):
    shutil.copytree(built.root / "features", tmp_path / "features")
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
