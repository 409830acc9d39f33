import json
import re
from datetime import date
from typing import get_args

import numpy as np
import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.deployment.bundle import BundleConfig, write_bundle
from recsys_core.errors import AdapterError, BundleError
from recsys_core.evaluation.gate import AUDIENCES
from recsys_core.interactions.knots import LITTLE, Audience, audience_of
from recsys_core.promotions.table import make_promotions
from recsys_core.promotions.weights import PromotionWeights
from recsys_core.schema import RAW_PROMOTIONS
from recsys_core.serving import Bundle
from recsys_core.signatures import PUBLIC_KEY, own_key
from tests.serving.tiny import FAVOURITES, LOCK, ROUTING, TITLES, WordEncoder, tiny_arguments, tiny_family, use_word_encoder


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
    assert pl.read_parquet(tmp_path / "bundle" / "users.parquet").columns == ["region", "children", "digest_high", "digest_low"]
    refused = [{**r, "decision": "refused", "audiences": []} if r["name"] == "north" else r for r in ROUTING]
    families = {name: path for name, path in arguments["families"].items() if name != "north"}
    write_bundle(tmp_path / "bundle", **{**arguments, "routing": refused, "families": families, "golden": []})
    assert not (tmp_path / "bundle" / "users.parquet").exists()


def test_a_shopper_is_routed_by_the_shipped_attributes(arguments, tmp_path):
    write_bundle(tmp_path / "bundle", **arguments)
    bundle = Bundle.load(tmp_path / "bundle")
    known = {"history": ["k0", "g0", "t1"], "at": "2024-07-01", "segment": "auto"}
    assert bundle.recommend(user_id="anna", **known)[0].segment == "north"
    assert bundle.recommend(user_id="bert", **known)[0].segment is None
    assert bundle.recommend(user_id="bert", user={"region": "north"}, **known)[0].segment == "north"
    stranger = bundle.recommend(user_id="carl", **known)[0]
    assert stranger.segment is None and "the user is unknown" in stranger.fallback


def routed(**change) -> list[dict]:
    return [{**ROUTING[0], **change}, *ROUTING[1:]]


@pytest.mark.parametrize(("change", "culprit"), [
    ({"routing": routed(decision="refused", audiences=[])}, "'deli' has an adapter but was not promoted"),
    ({"routing": routed(decision="maybe")}, "decision"),
    ({"routing": routed(surprise=1)}, "surprise"),
    ({"routing": routed(name="toys")}, "repeat"),
    ({"routing": routed(reason="")}, "reason"),
    ({"families": {}}, "promoted without an adapter"),
    ({"config": BundleConfig(segment_order=("nobody",))}, "'nobody' is no segment or family"),
    ({"config": BundleConfig(default_event_type="impression")}, "'impression'"),
])
def test_what_does_not_fit_is_refused_and_the_old_bundle_stays(arguments, tmp_path, change, culprit):
    write_bundle(tmp_path / "bundle", **arguments)
    before = folder_hash(tmp_path / "bundle")
    with pytest.raises(BundleError, match=culprit):
        write_bundle(tmp_path / "bundle", **{**arguments, **change})
    assert folder_hash(tmp_path / "bundle") == before
    assert [p.name for p in tmp_path.glob(".staging*")] == []


def test_an_export_that_answers_otherwise_than_what_was_trained_is_never_published(arguments, tmp_path):
    """Each of these is a fault of exporting: the files load and verify, and serve something else."""
    from safetensors.numpy import load_file, save_file

    faults = {
        "the ranker's weights": (arguments["ranker_folder"] / "ranker.safetensors", "weights", 1.2),
        "an adapter's values": (arguments["families"]["north"] / "family.safetensors", "items.value", 2.0),
        "its trust": (arguments["families"]["store"] / "family.safetensors", "trust", 0.5)}
    for name, (path, array, factor) in faults.items():
        whole, arrays = path.read_bytes(), load_file(path)
        arrays[array] = arrays[array] * np.float32(factor)
        save_file(arrays, path)
        with pytest.raises(BundleError, match="golden requests disagree with training; golden request"):
            write_bundle(tmp_path / "bundle", **arguments)
        path.write_bytes(whole)
        assert not (tmp_path / "bundle").exists(), name
    write_bundle(tmp_path / "bundle", **arguments)


def test_a_query_encoder_that_reads_otherwise_than_the_student_is_never_published(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(WordEncoder, "encode", lambda self, texts: np.tile(np.eye(16, dtype=np.float32)[0], (len(texts), 1)))
    with pytest.raises(BundleError, match="query 'steel mug'"):
        write_bundle(tmp_path / "bundle", **arguments)


def test_a_signed_bundle_is_signed_when_it_is_published(arguments, tmp_path):
    write_bundle(tmp_path / "bundle", **arguments, signing_key=own_key(tmp_path / "keys"))
    signed = Bundle.load(tmp_path / "bundle", key=tmp_path / "keys" / PUBLIC_KEY)
    assert "README.md" in signed.manifest["files"] and "model.sig" not in signed.manifest["files"]


def test_an_adapter_of_another_base_never_ships(arguments, tmp_path):
    tiny_family("deli", FAVOURITES["deli"], lock={**LOCK, "encoder": "x" * 64}).save(arguments["families"]["deli"])
    with pytest.raises(AdapterError, match="another base"):
        write_bundle(tmp_path / "bundle", **arguments)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("family", "culprit"), [
    (tiny_family("deli", {"": []}), "changes nothing"), (tiny_family("deli", {"": list(TITLES)}), "changes nothing"),
    (tiny_family("toys", {"": ["t0"]}), "was made for 'toys'")])
def test_dead_and_mislabelled_adapters_never_ship(arguments, tmp_path, family, culprit):
    family.save(arguments["families"]["deli"])
    with pytest.raises(BundleError, match=culprit):
        write_bundle(tmp_path / "bundle", **arguments)


@pytest.mark.parametrize(("audiences", "trusted"), [
    (["none"], [1, 0, 0, 0, 0, 0, 0]), (["little"], [0, 1, 1, 1, 0, 0, 0]), (["full"], [0, 0, 0, 0, 1, 1, 1]),
    (["none", "full"], [1, 0, 0, 0, 1, 1, 1])])
def test_an_adapter_is_trusted_only_with_the_audiences_it_was_promoted_for(arguments, tmp_path, audiences, trusted):
    golden = [one for one in arguments["golden"] if one["request"].get("segment") != "deli"]
    manifest = write_bundle(tmp_path / "bundle", **{**arguments, "routing": routed(audiences=audiences), "golden": golden})
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.parts.families["deli"].trust.tolist() == trusted
    assert manifest["families"]["deli"] == {"by": None, "members": 1, "audiences": audiences}
    for history, audience in [([], "none"), (["k0"], "little"), (["k0"] * 8, "full")]:
        assert bundle.recommend(history, segment="deli")[0].segment == ("deli" if audience in audiences else None)


def test_audiences_are_those_that_evaluation_judges():
    assert get_args(Audience) == tuple(AUDIENCES)
    assert [audience_of(steps) for steps in (0, *LITTLE, 8, 64)] == ["none", *["little"] * len(LITTLE), "full", "full"]


def test_a_changed_family_is_refused(arguments, tmp_path):
    write_bundle(tmp_path / "bundle", **arguments)
    place = tmp_path / "bundle" / "families" / "store"
    for path in sorted(place.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BundleError, match=re.escape(f"families/store/{path.name} was changed")):
            Bundle.load(tmp_path / "bundle")
        path.write_bytes(whole)
    tiny_family("other", FAVOURITES["deli"]).save(tmp_path / "bundle" / "families" / "other")
    with pytest.raises(BundleError, match=r"families/other/.* is not in the manifest"):
        Bundle.load(tmp_path / "bundle")


def test_the_manifest_lists_families_shelves_and_context(arguments, tmp_path):
    manifest = write_bundle(tmp_path / "bundle", **arguments)
    assert manifest["families"]["store"] == {"by": "context.store", "members": 2, "audiences": ["none", "little"]}
    assert manifest["shelves"] == {"campaign": 2, "new-arrivals": 1, "window": 2}  # what is not in the catalogue is not on it
    assert manifest["context"] == ["store", "weather"] and manifest["promotions"] == []
    bare = write_bundle(tmp_path / "bare", **{**arguments, "shelves": None, "golden": []})
    assert bare["shelves"] == {}


def test_promotions_ship_and_serve(arguments, tmp_path):
    table = pl.DataFrame([("t2", date(2024, 3, 1), None, "display", None)], schema=RAW_PROMOTIONS, orient="row")
    promotions = make_promotions(table, arguments["catalogue"])
    weights = PromotionWeights(promotions, np.ones((7, 2), np.float32))
    manifest = write_bundle(tmp_path / "bundle", **{**arguments, "golden": []}, promotions=weights)
    assert manifest["promotions"] == ["promoted_display", "usually_display"]
    assert any(name.startswith("promotions/") for name in manifest["files"])
    reasons = {a.item_id: a.reasons for a in Bundle.load(tmp_path / "bundle").recommend([], k=20)}
    assert reasons["t2"]["promoted_display"] == 1.0 and "promoted_display" not in reasons["t1"]


def test_a_pickle_in_a_source_folder_never_ships(arguments, tmp_path):
    (arguments["student_folder"] / "weights.pt").write_bytes(b"\x80\x04")
    with pytest.raises(BundleError, match=r"weights\.pt"):
        write_bundle(tmp_path / "bundle", **arguments)


def test_a_missing_source_is_named(arguments, tmp_path):
    with pytest.raises(BundleError, match="student"):
        write_bundle(tmp_path / "bundle", **{**arguments, "student_folder": tmp_path / "nowhere"})



def test_a_folder_may_have_any_name(tmp_path, monkeypatch):
    use_word_encoder(monkeypatch)
    folder = tmp_path / "my shop [1] %20 ü? #2*"
    write_bundle(folder / "bundle", **tiny_arguments(folder / "sources"))
    bundle = Bundle.load(folder / "bundle")
    assert bundle.recommend(["k0"], user_id="anna", segment="auto", shelf="window")[0].item_id in TITLES
    assert bundle.search("steel mug")[0].item_id == "k0"
