"""Promotions judged: shown to pay where they do, left out where they do not, for each audience apart."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_core import schema
from recsys_core.evaluation.offers import OffersConfig, judge_promotions, read_judged
from recsys_core.interactions.knots import KNOTS
from recsys_core.interactions.windows import BASE, Window
from recsys_core.promotions.weights import PromotionWeights
from tests.adaptation.planted import CUTS, DAY, PlantedBase, make_catalogue, planted_study

SHOP = make_catalogue()
UNIFORM = np.full(len(SHOP), 1 / len(SHOP))


@pytest.fixture
def shop(tmp_path):
    """Twenty shoppers who take an item a day; every day another one is on display."""
    table = planted_study({"one": UNIFORM}).table
    days = table["timestamp"].dt.epoch("d").to_numpy()
    shown = np.array([f"i{7 * day % len(SHOP):03d}" for day in range(days.max() + 1)])

    def judge(taken_share: float) -> dict | None:
        takes = np.random.default_rng(0).random(table.height) < taken_share
        items = np.where(takes, shown[days], table["item_id"].to_numpy())
        interactions = table.with_columns(item_id=pl.Series(items.astype(str)))
        promotions = pl.DataFrame([(item, *[datetime.fromtimestamp(day * DAY, UTC).date()] * 2, "display", None)
                                   for day, item in enumerate(shown)], schema=schema.RAW_PROMOTIONS, orient="row")
        base = PlantedBase(SHOP, interactions, {BASE: Window(BASE, 6 * DAY, *CUTS)})
        base.folder = tmp_path
        return judge_promotions(base, interactions, promotions, "UTC", OffersConfig())

    return judge


def test_a_display_that_sells_serves_every_audience(shop, tmp_path):
    found = shop(0.5)
    assert found["audiences"] == ["none", "little", "full"] and found == read_judged(tmp_path)
    assert all(gain["low"] > 0 for window in ("gate", "report") for gain in found[window].values())
    weights = PromotionWeights.load(tmp_path / "promotions", SHOP)
    assert (weights.weights[:, 0] > 1).all()


def test_a_display_that_does_nothing_serves_nobody(shop, tmp_path):
    found = shop(0.0)
    assert found["audiences"] == [] and found["reason"] == "not proven better than the base alone" and found["report"] == {}
    assert [path.name for path in (tmp_path / "promotions").iterdir()] == ["judged.json"]


def test_masked_weights_say_nothing_to_the_others(shop, tmp_path):
    shop(0.5)
    weights = PromotionWeights.load(tmp_path / "promotions", SHOP).masked(np.array(KNOTS) > 0)
    day = datetime.fromtimestamp(15 * DAY, UTC).date()
    assert not weights.offsets({}, day, 0)["promoted_display"].any() and weights.offsets({}, day, 1)["promoted_display"].any()
