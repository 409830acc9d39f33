"""One segment's artefact on the planted shop: what is written, and why a segment has none."""

import shutil

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.segment import JUDGED, PLACEBO, SERVING, adapt_segments, load_adapter, make_segment_adapter
from recsys_core.artefacts import folder_hash, read_json
from recsys_core.errors import AdapterError
from tests.adaptation.built import ADAPTATION, SEGMENTS, built_shop, folder


@pytest.fixture(scope="module")
def built():
    return built_shop()


def test_a_segment_that_pays_has_three_adapters_and_the_rows_they_were_made_from(built):
    place = built.adapters()["toys"]
    assert {path.name for path in place.iterdir()} == {JUDGED, PLACEBO, SERVING, "segment.json", "shots.parquet"}
    shots = pl.read_parquet(place / "shots.parquet")
    assert shots["use"].unique(maintain_order=True).to_list() == [JUDGED, PLACEBO, SERVING]
    assert shots.group_by("use").len().sort("use")["len"].to_list() == [32, 32, 32]
    window = built.plan["toys"]
    second = pl.col("timestamp").dt.epoch("s")
    newest = window.report_end - (window.gate_start - window.support_start)
    for use, low, high in ((JUDGED, window.support_start, window.gate_start),
                           (PLACEBO, window.support_start, window.gate_start), (SERVING, newest, window.report_end)):
        assert shots.filter((pl.col("use") == use) & ((second < low) | (second >= high))).is_empty()
    toys = shots["item_id"].str.starts_with("T")
    assert shots.filter(toys)["use"].unique().sort().to_list() == [JUDGED, SERVING]
    assert not shots.filter(~toys).filter(pl.col("use") != PLACEBO).height


def test_shots_that_are_judged_are_of_users_who_are_never_asked(built):
    shots = pl.read_parquet(built.adapters()["toys"] / "shots.parquet").filter(pl.col("use") != SERVING)
    row = {user: at for at, user in enumerate(built.study.events.user_ids)}
    assert built.study.support_users[[row[user] for user in shots["user_id"]]].all()


def test_the_placebo_has_the_judged_ones_scale_and_learned_something_else(built):
    found = {name: load_adapter(built.adapters()["toys"], name, built.base.lock) for name in (JUDGED, PLACEBO, SERVING)}
    assert len({adapter.settings["scale"] for adapter in found.values()}) == 1
    toys = built.base.catalogue.items["department"].to_numpy() == "Toys"
    lift = {name: adapter.offsets(built.base.catalogue) for name, adapter in found.items()}
    assert lift[JUDGED][toys].mean() > lift[JUDGED][~toys].mean() + 1
    assert lift[PLACEBO][toys].mean() < lift[PLACEBO][~toys].mean()


def test_nobody_has_no_adapter_and_the_reason(built):
    about = read_json(built.adapters()["nobody"] / "segment.json")
    assert (about["method"], about["shots"], about["events"]) == ("base", 0, 0)
    assert about["reason"] == "no adapter: 0 shots, needs 4"
    assert load_adapter(built.adapters()["nobody"], JUDGED, built.base.lock) is None


def test_a_segment_without_a_window_is_written_with_the_reason(built, tmp_path):
    about = make_segment_adapter(tmp_path, built.study, "toys", None, ADAPTATION)
    assert about["reason"].startswith("no window") and about["method"] == "base"
    assert [path.name for path in tmp_path.iterdir()] == ["segment.json"]


def test_the_same_seed_gives_the_same_artefacts(built, tmp_path):
    again = adapt_segments({name: folder(tmp_path / name) for name in SEGMENTS}, built.study, ADAPTATION)
    for name in SEGMENTS:
        assert folder_hash(tmp_path / name) == folder_hash(built.adapters()[name])
        assert {key: again[name][key] for key in again[name] if key != "folder"} == \
            read_json(built.adapters()[name] / "segment.json")


def test_an_adapter_of_another_base_is_refused(built, tmp_path):
    shutil.copytree(built.adapters()["toys"] / JUDGED, tmp_path / JUDGED)
    with pytest.raises(AdapterError, match="encoder is"):
        load_adapter(tmp_path, JUDGED, built.base.lock | {"encoder": "another"})
    assert isinstance(load_adapter(tmp_path, JUDGED, built.base.lock), Adapter)


def test_members_are_the_segments_events(built):
    member = built.study.member("toys")
    of_toys = np.array([item.startswith("T") for item in built.study.table["item_id"]])[built.study.events.row]
    np.testing.assert_array_equal(member, of_toys)
    assert not built.study.member("nobody").any() and not built.study.member("never declared").any()
