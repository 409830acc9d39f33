"""Which segments and families must be adapted again, and why."""

import shutil

import polars as pl
import pytest

from recsys_core.adaptation.stale import fingerprints, segment_fingerprints, stale_adapters
from recsys_core.artefacts import read_json, write_json
from recsys_core.features import read_features
from recsys_core.ingestion.config import FamilySpec
from tests.adaptation.built import SEGMENTS, built_shop
from tests.features.written import write_feature_table


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture
def place(built, tmp_path):
    shutil.copytree(built.root / "features", tmp_path / "features")
    shutil.copy(built.root / "users.parquet", tmp_path / "users.parquet")
    (tmp_path / "base").mkdir()
    shutil.copy(built.base.folder / "base.json", tmp_path / "base" / "base.json")
    return tmp_path


def stale(built, place, names=SEGMENTS):
    return stale_adapters(built.root / "adapters", place / "base", place / "features", names, built.shop.config,
                          place / "users.parquet")


def test_nothing_is_stale_just_after_adapting(built, place):
    assert stale(built, place) == {}


@pytest.mark.parametrize("key", ["encoder", "tokenizer", "features"])
def test_another_base_makes_every_segment_stale(built, place, key):
    base = read_json(place / "base" / "base.json")
    write_json(place / "base" / "base.json", base | {"lock": base["lock"] | {key: "0" * 64}})
    assert stale(built, place) == dict.fromkeys(SEGMENTS, f"the base has another {key}")


def test_new_events_make_only_their_segment_stale(built, place):
    table = read_features(place / "features", "segment_events").collect()
    late = pl.DataFrame({"segment": ["toys"], "event_id": ["brand-new"]})
    write_feature_table(place / "features", "segment_events", pl.concat([table, late]))
    assert stale(built, place) == {"toys": "it has new events"}
    assert stale(built, place, ["nobody", "stationery"]) == {}


def test_a_shopper_who_moves_or_an_event_that_is_lost_make_the_family_stale(built, place):
    users = pl.read_parquet(place / "users.parquet")
    users.with_columns(region=pl.when(pl.col("user_id") == "u000").then(pl.lit("south")).otherwise("region")).write_parquet(
        place / "users.parquet")
    assert stale(built, place) == {"region": "it has new events"}
    users.write_parquet(place / "users.parquet")
    table = read_features(place / "features", "interactions").collect()
    write_feature_table(place / "features", "interactions", table[1:])
    assert stale(built, place) == {"region": "it has new events"}


def test_fingerprints_know_events_not_their_order():
    events = pl.DataFrame({"segment": ["a", "a", "b"], "event_id": ["2", "1", "1"]})
    found = segment_fingerprints(events, ["a", "b", "none"])
    assert found == segment_fingerprints(events.reverse(), ["a", "b", "none"])
    assert len(set(found.values())) == 3
    assert segment_fingerprints(events.filter(pl.col("event_id") != "2"), ["a"])["a"] == found["b"]


def test_a_familys_fingerprint_leaves_out_who_belongs_to_no_member():
    family = FamilySpec(name="store", by="context.store")
    events = pl.DataFrame({"event_id": ["1", "2", "3"], "context": ['{"store": "a"}', None, '{"store": "b"}']})
    none = pl.DataFrame(schema={"segment": pl.String, "event_id": pl.String})

    def found(table: pl.DataFrame) -> str:
        return fingerprints(["store"], {"store": family}, none, table, None)["store"]

    assert found(events) == found(events.reverse()) == found(events.filter(pl.col("event_id") != "2"))
    assert found(events) != found(events.filter(pl.col("event_id") != "3"))
    assert found(events) != found(events.with_columns(context=pl.lit('{"store": "a"}')))
