"""The base model's artefact: rankers that know nothing later, a lock, and no build on an encoder that saw too much."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys_core.artefacts import read_json
from recsys_core.base_model.model import BaseModelArtefact, make_catalogue, make_lock, plan_shop
from recsys_core.errors import DataError, LeakageError
from recsys_core.interactions.windows import BASE, WindowConfig
from recsys_core.text_encoder.vectors import VectorCache
from tests.adaptation.built import based, built_shop, tuned


@pytest.fixture(scope="module")
def built():
    return built_shop()


def test_every_window_has_rankers_that_saw_nothing_from_their_cut_offs_on(built):
    events = built.study.events
    for name in ("toys", "spring-fair"):
        window = built.plan[name]
        for cutoff in (window.support_start, window.gate_start, window.report_start):
            counts, before = built.base.ranker(cutoff).counts, events.timestamp < cutoff
            np.testing.assert_array_equal(counts.popularity, np.bincount(events.item[before], minlength=120))
            assert counts.newest == events.timestamp[before].max()
    cutoffs = {str(cutoff) for window in built.plan.values()
               for cutoff in (window.support_start, window.gate_start, window.report_start)}
    assert {path.name for path in (built.base.folder / "rankers").iterdir()} == cutoffs | {"serving"}


def test_what_ships_has_seen_everything_with_the_newest_blend(built):
    serving, window = built.base.serving(), built.plan[BASE]
    for cutoff in (window.support_start, window.report_start):  # counts are refitted, the blend was chosen before
        np.testing.assert_array_equal(serving.weights, built.base.ranker(cutoff).weights)
    assert serving.counts.popularity.sum() == len(built.study.events)
    assert built.base.summary["through"] == built.study.events.timestamp.max()


def test_the_catalogue_survives_and_items_share_texts(built):
    catalogue = BaseModelArtefact(built.base.folder).catalogue
    assert catalogue.items.equals(built.items) and catalogue.vectors.shape == (120, 32)
    np.testing.assert_allclose(catalogue.item_vectors, built.encoder.load().encode(built.items["text"].to_list()),
                               atol=1e-5)


def test_two_items_of_one_text_share_a_vector(built, tmp_path):
    twice = pl.concat([built.items, built.items.head(3).with_columns(item_id="Z" + pl.col("item_id"))])
    catalogue = make_catalogue(twice, built.encoder.load(), VectorCache(tmp_path))
    assert catalogue.vectors.shape == (120, 32)
    assert catalogue.text_of_item[120:].tolist() == catalogue.text_of_item[:3].tolist()


@pytest.mark.parametrize("late", [1, 86_400])
def test_an_encoder_that_saw_a_window_is_refused_before_anything_is_written(built, tmp_path, late):
    earliest = min(window.support_start for window in built.plan.values())
    with pytest.raises(LeakageError, match="text encoder: was tuned on days up to"):
        based(tmp_path / "base", built.root, built, built.encoder, cutoff=earliest + late)
    assert not any((tmp_path / "base").iterdir())


def test_the_lock_names_encoder_tokenizer_and_features(built, tmp_path):
    lock = built.base.lock
    assert set(lock) == {"encoder", "tokenizer", "features"}
    other = tuned(tmp_path, SimpleNamespace(items=built.items, tables=built.tables, plan=built.plan), seed=1).load()
    changed = make_lock(other, built.base.serving().part_names)
    assert [key for key in sorted(lock) if changed[key] != lock[key]] == ["encoder"]
    assert make_lock(built.encoder.load(), ("fewer", "parts"))["features"] != lock["features"]


def test_building_again_gives_the_same_record(built, tmp_path):
    again = based(tmp_path / "base", built.root, built, built.encoder)
    assert read_json(again.folder / "base.json") == built.base.summary


def test_a_shop_without_impressions_has_no_click_head(built):
    assert built.base.click("serving") is None


def test_a_shop_without_events_cannot_be_planned(built):
    nothing = built.tables["interactions"].clear()
    with pytest.raises(DataError, match="no positive event"):
        plan_shop(nothing, [], WindowConfig(), time_zone="UTC", order_only=False)
