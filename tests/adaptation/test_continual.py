"""Adapting again: the last adapter is found, moved on from, and not forgotten beyond the bound; scenes follow scenes."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.adapt import AdaptationConfig, ContinualConfig, adapt_segment, view_base
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import prepare
from recsys_core.adaptation.continual import JUDGED, SERVING, bound_forgetting, forgetting, load_last
from recsys_core.adaptation.methods import add_adapters
from recsys_core.adaptation.segment import adapt_segments, earlier_scenes
from recsys_core.adaptation.shots import ShotConfig, draw_shots
from recsys_core.artefacts import read_json, write_json
from recsys_core.evaluation.windows import BASE, Window
from tests.adaptation.built import ADAPTATION, built_shop, folder
from tests.adaptation.planted import DAY, LOCK, PopularityRanker, likes, make_catalogue, make_events

SHOP = make_catalogue()
PRIOR = prepare(SHOP, np.full(len(SHOP), 20.0), LOCK)
RANKER = PopularityRanker(SHOP, PRIOR.item_share)
RED, KITCHEN = likes(SHOP, word="red", factor=30), likes(SHOP, category="kitchen", factor=30)


def draw(taste, seed=0, k=64):
    events = make_events(taste, seed)
    return draw_shots(events, 2 * DAY, 8 * DAY, np.ones(len(events), bool), ShotConfig(k=k), np.random.default_rng(seed))


def adapt(taste, seed=0, **options) -> Adapter:
    return adapt_segment(PRIOR, RANKER, "s", draw(taste, seed), AdaptationConfig(), np.random.default_rng(0), **options)


@pytest.fixture(scope="module")
def built():
    return built_shop()


def test_what_is_forgotten_is_bounded_and_told():
    """A taste that turned round: the new adapter alone would lose what the old support set taught."""
    last, new, old = adapt(RED), adapt(KITCHEN, 1), draw(RED)
    view = view_base(RANKER, old)
    alone = forgetting(last, new, old.items, view, SHOP)
    assert alone > 1
    for bound in (0.1, 0.5):
        kept = bound_forgetting(last, new, old.items, view, SHOP, ContinualConfig(max_forgetting=bound))
        assert kept.settings["forgetting_nats"] <= bound and kept.settings["share_of_new"] < 1
        assert forgetting(last, kept, old.items, view, SHOP) == pytest.approx(kept.settings["forgetting_nats"], abs=1e-3)
    free = bound_forgetting(last, new, old.items, view, SHOP, ContinualConfig(max_forgetting=10))
    np.testing.assert_allclose(free.offsets(SHOP), new.offsets(SHOP))
    assert free.settings["share_of_new"] == 1.0


def test_the_sum_of_two_adapters_adds_their_offsets():
    first, second = adapt(RED), adapt(KITCHEN, 1)
    first = replace(first, text_keys=SHOP.text_keys[:3], text_values=np.ones(3, np.float32))
    both = add_adapters(first, second)
    np.testing.assert_allclose(both.offsets(SHOP), first.offsets(SHOP) + second.offsets(SHOP), atol=1e-5)
    np.testing.assert_allclose(add_adapters(second, first).offsets(SHOP), both.offsets(SHOP), atol=1e-5)


def test_a_start_is_judged_by_shots_it_has_not_learned_from():
    shots, start = draw(RED), adapt(RED)
    fresh = np.zeros(len(shots), bool)
    fresh[:32] = True
    found = adapt_segment(PRIOR, RANKER, "s", shots, AdaptationConfig(), np.random.default_rng(0), starts={"last": start},
                          fresh=fresh)
    everything = adapt_segment(PRIOR, RANKER, "s", shots, AdaptationConfig(), np.random.default_rng(0),
                               starts={"last": start})
    assert found.settings["cv_gain_nats"].keys() == everything.settings["cv_gain_nats"].keys()
    assert found.settings["cv_gain_nats"] != everything.settings["cv_gain_nats"]


def test_replay_keeps_its_share_of_the_last_shots_that_are_in_the_window():
    events = make_events(RED)
    everybody, config = np.ones(len(events), bool), ShotConfig(k=64)
    early = draw_shots(events, 0, 4 * DAY, everybody, config, np.random.default_rng(0)).rows
    inside = early[events.timestamp[early] >= 2 * DAY]
    later = draw_shots(events, 2 * DAY, 8 * DAY, everybody, config, np.random.default_rng(5), replay=(early, 0.25))
    assert len(later) == 64 and np.isin(later.rows, early).sum() >= min(16, len(inside))
    assert (later.queries.timestamp >= 2 * DAY).all()
    alone = draw_shots(events, 2 * DAY, 8 * DAY, everybody, config, np.random.default_rng(5))
    assert np.isin(alone.rows, early).sum() < np.isin(later.rows, early).sum()


@pytest.fixture
def yesterday(built, tmp_path):
    """The artefact of toys as if it had been made for windows a day earlier."""
    place = tmp_path / "previous" / "toys"
    shutil.copytree(built.adapters()["toys"], place)
    about = read_json(place / "segment.json")
    about["window"] = {key: value - (key != "segment" and DAY) for key, value in about["window"].items()
                       if key != "segment"} | {"segment": "toys"}
    write_json(place / "segment.json", about)
    return place


def test_the_last_adapter_is_that_of_an_earlier_window_and_of_this_base(built, yesterday, tmp_path):
    window, lock, table = built.plan["toys"], built.base.lock, built.study.table
    last = load_last(yesterday, lock, window, table)
    used = pl.read_parquet(yesterday / "shots.parquet")
    for use in (JUDGED, SERVING):
        wanted = used.filter(pl.col("use") == use)["event_id"]
        assert table[last.rows[use]]["event_id"].sort().to_list() == wanted.sort().to_list()
    assert load_last(built.adapters()["toys"], lock, window, table) is None  # the same windows: made again, not moved on
    assert load_last(yesterday, lock | {"encoder": "another"}, window, table) is None
    assert load_last(tmp_path / "nothing", lock, window, table) is None
    assert load_last(built.adapters()["nobody"], lock, window, table) is None


def test_a_segment_moves_on_from_its_last_adapter_and_tells_what_it_forgot(built, yesterday, tmp_path):
    config = ADAPTATION.model_copy(update={"shots": ShotConfig(k=32, seed=1)})
    made = adapt_segments({"toys": folder(tmp_path / "toys")}, built.study, built.encoder, config, yesterday.parent)["toys"]
    assert {name.rsplit("@")[0] for name in made["settings"]["cv_gain_nats"]} == {"closed_form", "from last", "from last+shots"}
    assert made["settings"]["forgetting_nats"] <= config.continual.max_forgetting
    assert json.loads((tmp_path / "toys" / JUDGED / "adapter.json").read_text())["settings"] == made["settings"]


def test_a_scene_may_move_on_from_scenes_that_are_over(tmp_path):
    plan = {BASE: Window(BASE, 80, 90, 95, 98, 100), "fair-2016": Window("fair-2016", 5, 10, 12, 14, 20),
            "fair-2017": Window("fair-2017", 35, 40, 42, 44, 50), "sale-2017": Window("sale-2017", 36, 41, 45, 48, 52),
            "toys": Window("toys", 80, 90, 95, 98, 100)}
    study = SimpleNamespace(base=SimpleNamespace(plan=plan, lock=LOCK))
    folders = {name: tmp_path / name for name in plan if name != BASE}
    for name in ("fair-2016", "fair-2017", "toys"):
        adapt(RED).for_segment(name).save(folders[name] / SERVING)
    assert set(earlier_scenes("fair-2017", study, folders, None)) == {"fair-2016"}
    assert set(earlier_scenes("sale-2017", study, {}, tmp_path)) == {"fair-2016"}  # fair-2017 was not over
    assert earlier_scenes("toys", study, folders, None) == {} == earlier_scenes("unplanned", study, folders, None)


def test_last_years_scene_is_worth_more_than_a_cold_start_with_few_shots():
    last_year, gains = adapt(RED), {}
    for name, starts in (("cold", {}), ("warm", {"fair-2016": last_year})):
        made = [adapt_segment(PRIOR, RANKER, "fair-2017", draw(RED, seed, k=6), AdaptationConfig(),
                              np.random.default_rng(0), starts=starts) for seed in range(1, 11)]
        gains[name] = np.mean([0.0 if a is None else RED @ a.offsets(SHOP) - np.log(
            PRIOR.item_share @ np.exp(a.offsets(SHOP).astype(float))) for a in made])
    assert gains["warm"] > gains["cold"] + 0.1
