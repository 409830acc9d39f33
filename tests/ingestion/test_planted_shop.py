"""The synthetic shop holds what its docstring plants."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.ingestion.opening import open_shop
from tests import shops


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    shop = open_shop(shops.planted_shop(tmp_path_factory.mktemp("planted")))
    rows = pl.concat([drop.events for drop in shop.events()])
    items = shop.items().select("item_id", "department", "material")
    return rows.with_columns(day=pl.col("timestamp").dt.date()).join(items, on="item_id", how="left")


def test_same_seed_same_bytes(tmp_path):
    first, second, other = (shops.planted_shop(tmp_path / name, seed, users=5, days=4)
                            for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert folder_hash(first) == folder_hash(second) != folder_hash(other)


def test_toys_move_to_other_materials_on_the_shift_day(events):
    toys = events.filter(event_type="purchase", department="Toys")
    before = toys.filter(pl.col("day") < shops.shift_day())
    after = toys.filter(pl.col("day") >= shops.shift_day())
    assert set(before["material"]) == set(shops.BEFORE_SHIFT) and before.height > 100
    assert set(after["material"]) == set(shops.AFTER_SHIFT) and after.height > 100


def test_pairs_are_bought_together(events):
    usual = events.filter(pl.col("event_type") == "purchase", pl.col("context").is_null())
    baskets = usual.group_by("session_id").agg("item_id")
    for first, second in shops.PAIRS:
        with_first = baskets.filter(pl.col("item_id").list.contains(first))
        share = with_first["item_id"].list.contains(second).mean()
        assert 0.55 < share < 0.85


def test_clicks_follow_the_rule(events):
    shown = events.filter(event_type="impression").select("session_id", "item_id", "position")
    clicks = events.filter(event_type="click").select("session_id", "item_id").unique()
    rate = shown.join(clicks, on=["session_id", "item_id"], how="semi").height / shown.height
    assert shops.CLICK_OTHERWISE < rate < shops.CLICK_IF_FAVOURITE
    assert set(shown["position"]) == {1, 2, 3, 4, 5}


def test_scene_events_lie_inside_the_scene(events):
    start, end = shops.scene_days()
    days = events.filter(context=f'{{"scene": "{shops.SCENE}"}}')["day"]
    assert len(days) > 50 and start <= days.min() and days.max() <= end
