"""Shelves and promotions: read with their days, found by the days they overlap, refused with row and fix."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.offers import to_promotions, to_shelves
from recsys_core.ingestion.opening import open_shop
from tests.ingestion.test_shop import GOOD, small_shop

DAYS = {"first_day": ["2024-01-02", None], "last_day": ["2024-01-05", ""]}


def shelves(**columns) -> pl.DataFrame:
    return to_shelves(pl.DataFrame({"shelf": ["fair", "fair"], "item_id": ["007", "8"], **columns}), ShopConfig(),
                      "shelves.csv")


def test_shelves_keep_their_text_and_days():
    rows = shelves(**DAYS)
    assert dict(rows.schema) == schema.RAW_SHELVES
    assert rows.rows() == [("fair", "007", date(2024, 1, 2), date(2024, 1, 5)), ("fair", "8", None, None)]
    assert shelves()["first_day"].to_list() == [None, None]


@pytest.mark.parametrize("values", [
    ["2024-03-10", None], ["2024-03-10T23:30:00-06:00", None], [date(2024, 3, 10), None],
    [datetime(2024, 3, 10, 12), None],
])
def test_days_in_every_spelling(values):
    frame = pl.DataFrame({"shelf": ["a", "a"], "item_id": ["1", "2"], "first_day": values})
    days = to_shelves(frame, ShopConfig(time_zone="America/Havana"), "x")["first_day"]  # no midnight there on the 10th
    day = date(2024, 3, 11) if "T" in str(values[0]) else date(2024, 3, 10)
    assert days.to_list() == [day, None]


@pytest.mark.parametrize(("columns", "words"), [
    ({"shelf": ["fair", " "]}, ["row 2 has no shelf"]), ({"item_id": [None, "1"]}, ["row 1 has no item_id"]),
    ({"first_day": ["2024-01-01", "soon"]}, ["row 2: first_day 'soon' is no day", "YYYY-MM-DD"]),
    ({"last_day": ["2024-02-30", None]}, ["row 1: last_day '2024-02-30'"]),
    ({"first_day": [None, "2024-01-06"], "last_day": ["2024-01-01", "2024-01-05"]},
     ["row 2 begins on 2024-01-06, after its last_day 2024-01-05", "swap"]),
])
def test_broken_rows_are_named(columns, words):
    with pytest.raises(ShopError) as error:
        shelves(**columns)
    assert error.value.artefact == "shelves.csv"
    for word in words:
        assert word in str(error.value)


def test_missing_columns_are_named():
    with pytest.raises(ShopError, match=r"'shelf' is missing"):
        to_shelves(pl.DataFrame({"item_id": ["1"]}), ShopConfig(), "shelves.csv")
    with pytest.raises(ShopError, match=r"'item_id' is missing"):
        to_promotions(pl.DataFrame({"item": ["1"]}), ShopConfig(), "promotions.csv")


def test_promotions_say_how_and_for_whom():
    config = ShopConfig(context=("store", "channel"), columns={"promotions": {"store": "shop_no"}})
    frame = pl.DataFrame({"item_id": ["1", "2", "3"], "placement": ["mailer", None, " "], "shop_no": [7, None, 7]})
    rows = to_promotions(frame, config, "promotions.csv")
    assert dict(rows.schema) == schema.RAW_PROMOTIONS
    assert rows["placement"].to_list() == ["mailer", "promoted", "promoted"]
    assert rows["context"].to_list() == ['{"store": "7"}', None, '{"store": "7"}']
    assert to_promotions(frame, ShopConfig(), "x")["context"].to_list() == [None] * 3


PROMOTIONS = """item_id,first_day,last_day,store
before,2024-01-01,2024-01-09,
first,2024-01-01,2024-01-10,
within,2024-01-12,2024-01-12,7
last,2024-01-20,2024-01-31,
after,2024-01-21,2024-01-31,
around,2023-01-01,2025-01-01,
always,,,
until,,2024-01-09,
since,2024-01-20,,
"""


def test_a_shop_gives_the_promotions_that_overlap(tmp_path):
    drop = {"events/2024-01-01.csv": "user_id,item_id,timestamp,event_type,store\nu,1,2024-01-01,view,7\n"}
    shelf = {"shelves.jsonl": '{"shelf": "Fair!", "item_id": 1}\n'}
    shop = open_shop(small_shop(tmp_path, {**drop, **shelf, "promotions.csv": PROMOTIONS}, "context: [store]\n"))
    rows = shop.promotions(date(2024, 1, 10), date(2024, 1, 20))
    assert rows["item_id"].to_list() == ["first", "within", "last", "around", "always", "since"]
    assert rows["context"].drop_nulls().to_list() == ['{"store": "7"}']
    assert shop.shelves().rows() == [("Fair!", "1", None, None)]
    (day,) = shop.events()
    assert day.events["context"].to_list() == ['{"store": "7"}']


def test_a_shop_may_have_neither(tmp_path):
    shop = open_shop(small_shop(tmp_path, GOOD))
    assert shop.shelves() is None and shop.promotions(date(2024, 1, 1), date(2024, 1, 1)) is None
