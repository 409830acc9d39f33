import json

import polars as pl
import pytest

from recsys_core.adaptation.adapter import Adapter
from recsys_core.artefacts import folder_hash
from recsys_core.deployment.bundle import BundleConfig, write_bundle
from recsys_core.errors import AdapterError, BundleError
from recsys_core.serving import Bundle
from tests.serving.tiny import FAVOURITES, LOCK, ROUTING, tiny_adapter, tiny_arguments, use_word_encoder


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    use_word_encoder(monkeypatch)
    return tiny_arguments(tmp_path / "sources")


def test_a_written_bundle_loads_and_says_where_it_comes_from(arguments, tmp_path):
    manifest = write_bundle(tmp_path / "bundle", **arguments)
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.manifest == json.loads(json.dumps(manifest))
    assert manifest["lineage"] == arguments["lineage"] and manifest["lock"] == LOCK
    assert {"python", "numpy", "polars"} <= set(manifest["versions"])
    assert manifest["windows"] == arguments["windows"] and manifest["licences"] == arguments["licences"]
    assert {r["name"] for r in ROUTING} == set(bundle.segments)
    assert bundle.recommend(["k0"])[0].item_id == "g0"


def test_the_same_inputs_make_the_same_bytes(arguments, tmp_path):
    write_bundle(tmp_path / "one", **arguments)
    write_bundle(tmp_path / "two", **arguments)
    assert folder_hash(tmp_path / "one") == folder_hash(tmp_path / "two")


def test_only_attributes_that_route_are_shipped(arguments, tmp_path):
    write_bundle(tmp_path / "bundle", **arguments)
    assert pl.read_parquet(tmp_path / "bundle" / "users.parquet").columns == ["user_id", "region", "children"]
    refused = [{**r, "decision": "refused"} if r["name"] == "north" else r for r in ROUTING]
    adapters = {name: path for name, path in arguments["adapters"].items() if name != "north"}
    write_bundle(tmp_path / "bundle", **{**arguments, "routing": refused, "adapters": adapters})
    assert not (tmp_path / "bundle" / "users.parquet").exists()


def test_a_shopper_is_routed_by_the_shipped_attributes(arguments, tmp_path):
    write_bundle(tmp_path / "bundle", **arguments)
    bundle = Bundle.load(tmp_path / "bundle")
    known = {"history": ["k0", "g0", "t1"], "at": "2024-07-01", "segment": "auto"}
    assert bundle.recommend(user_id="anna", **known)[0].segment == "north"
    assert bundle.recommend(user_id="bert", **known)[0].segment is None
    assert bundle.recommend(user_id="bert", user={"region": "north"}, **known)[0].segment == "north"
    stranger = bundle.recommend(user_id="carl", **known)[0]
    assert stranger.segment is None and "user 'carl' is unknown" in stranger.fallback


def routed(**change) -> list[dict]:
    return [{**ROUTING[0], **change}, *ROUTING[1:]]


@pytest.mark.parametrize(("change", "culprit"), [
    ({"routing": routed(decision="refused")}, "'deli' has an adapter but was not promoted"),
    ({"routing": routed(decision="maybe")}, "decision"),
    ({"routing": routed(surprise=1)}, "surprise"),
    ({"routing": routed(name="toys")}, "repeat"),
    ({"routing": routed(reason="")}, "reason"),
    ({"adapters": {}}, "promoted without an adapter"),
    ({"config": BundleConfig(segment_order=("nobody",))}, "'nobody' is no segment"),
    ({"config": BundleConfig(default_event_type="impression")}, "'impression'"),
])
def test_what_does_not_fit_is_refused_and_the_old_bundle_stays(arguments, tmp_path, change, culprit):
    write_bundle(tmp_path / "bundle", **arguments)
    before = folder_hash(tmp_path / "bundle")
    with pytest.raises(BundleError, match=culprit):
        write_bundle(tmp_path / "bundle", **{**arguments, **change})
    assert folder_hash(tmp_path / "bundle") == before
    assert [p.name for p in tmp_path.glob(".staging*")] == []


def test_an_adapter_of_another_base_never_ships(arguments, tmp_path):
    stranger = Adapter(**{**vars(tiny_adapter("deli", ["d1"])), "lock": {**LOCK, "encoder": "x" * 64}})
    stranger.save(arguments["adapters"]["deli"])
    with pytest.raises(AdapterError, match="another base"):
        write_bundle(tmp_path / "bundle", **arguments)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("adapter", "culprit"), [
    (tiny_adapter("deli", []), "changes nothing"), (tiny_adapter("toys", ["t0"]), "was made for 'toys'")])
def test_dead_and_mislabelled_adapters_never_ship(arguments, tmp_path, adapter, culprit):
    adapter.save(arguments["adapters"]["deli"])
    with pytest.raises(BundleError, match=culprit):
        write_bundle(tmp_path / "bundle", **arguments)


def test_a_pickle_in_a_source_folder_never_ships(arguments, tmp_path):
    (arguments["student_folder"] / "weights.pt").write_bytes(b"\x80\x04")
    with pytest.raises(BundleError, match=r"weights\.pt"):
        write_bundle(tmp_path / "bundle", **arguments)


def test_a_missing_source_is_named(arguments, tmp_path):
    with pytest.raises(BundleError, match="student"):
        write_bundle(tmp_path / "bundle", **{**arguments, "student_folder": tmp_path / "nowhere"})


def test_segment_names_with_slashes_ship_and_serve(arguments, tmp_path):
    tiny_adapter("FROZEN/DELI", FAVOURITES["deli"]).save(tmp_path / "frozen")
    adapters = {**arguments["adapters"], "FROZEN/DELI": tmp_path / "frozen"}
    del adapters["deli"]
    routing = routed(name="FROZEN/DELI")
    write_bundle(tmp_path / "bundle", **{**arguments, "adapters": adapters, "routing": routing})
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.recommend(["k0"], segment="FROZEN/DELI")[0].segment == "FROZEN/DELI"
