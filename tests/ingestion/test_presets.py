"""Layouts people already have open with nothing but `preset: …`."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys_core.ingestion.config import preset_settings
from recsys_core.ingestion.opening import open_shop

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no public development data at {DATA}")


def shop_of(folder: Path, preset: str, files: dict[str, str], extra: str = ""):
    for name, text in files.items():
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    (folder / "shop.yaml").write_text(f"preset: {preset}\n{extra}")
    return open_shop(folder)


def rows_of(shop) -> list[dict]:
    return [row for drop in shop.events() for row in drop.events.to_dicts()]


def test_online_retail(tmp_path):
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    shop = shop_of(tmp_path, "online_retail", {
        "2011-07-01.csv": header + "1,007A,MUG,2,2011-07-01 08:00:00,2.5,17850.0,United Kingdom\n"
                                   "C2,007A,MUG,-2,2011-07-01 09:00:00,2.5,17850.0,United Kingdom\n"
                                   "3,007A,mug?,1,2011-07-01 09:30:00,0,,France\n",
        "2011-07-02.csv": header + '4,008,"TIN, RED",1,2011-07-02 09:00:00,1.25,2.0,France\n'})
    rows = rows_of(shop)
    assert [row["quantity"] for row in rows] == [2, -2, 1, 1]  # raw keeps cancellations
    assert rows[0]["user_id"] == "17850.0" and rows[2]["user_id"] is None
    assert rows[1]["session_id"] == "C2" and rows[0]["event_type"] == "purchase"
    assert rows[0]["timestamp"] == datetime(2011, 7, 1, 7, tzinfo=UTC)  # London summer
    assert [row["context"] for row in rows[1:3]] == ['{"country": "United Kingdom"}', '{"country": "France"}']
    assert [family.by for family in shop.config.families] == ["context.country"]
    assert shop.items().select("item_id", "title", "price").rows() == [
        ("007A", "MUG", 2.5), ("008", "TIN, RED", 1.25)]
    assert shop.users().rows() == [("17850.0", "United Kingdom"), ("2.0", "France")]


def test_rees46(tmp_path):
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    shop = shop_of(tmp_path, "rees46", {"2019-Oct.csv.gz": header +
        "2019-10-01 00:00:00 UTC,view,100,9,electronics.audio.head_phone,sony,30.0,5,s1\n"
        "2019-10-01 00:01:00 UTC,cart,100,9,electronics.audio.head_phone,sony,50.0,5,s1\n"
        "2019-10-02 00:00:00 UTC,purchase,200,9,,,1.0,6,s2\n"})
    rows = rows_of(shop)
    assert [row["event_type"] for row in rows] == ["view", "add_to_cart", "purchase"]
    assert shop.days() == [date(2019, 10, 1), date(2019, 10, 2)]
    first, second = shop.items().to_dicts()
    assert first["category"] == "electronics > audio > head_phone" and first["title"] == "head phone sony"
    assert (first["price"], first["brand"], first["category_id"]) == (30.0, "sony", "9")
    assert second["title"] is None and second["category"] is None  # nothing is invented


@pytest.mark.parametrize(("names", "review", "meta"), [
    (("reviews_Toys_5.json.gz", "meta_Toys.json.gz"),
     {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1393545600, "reviewText": "good"},
     {"asin": "B1", "title": "Kite", "brand": "Fly", "categories": [["Toys", "Kites"], ["Gifts"]],
      "price": 9.5}),
    (("Toys.jsonl", "meta_Toys.jsonl"),
     {"user_id": "A1", "parent_asin": "B1", "asin": "B9", "rating": 5.0, "timestamp": 1393545600000,
      "text": "good"},
     {"parent_asin": "B1", "title": "Kite", "store": "Fly", "categories": ["Toys", "Kites"],
      "price": "$9.50", "description": ["Up", "high"], "details": {"Color": "red"}}),
])
def test_amazon_reviews_old_and_new(tmp_path, names, review, meta):
    files = dict(zip(names, (json.dumps(review) + "\n", json.dumps(meta) + "\n"), strict=True))
    shop = shop_of(tmp_path, "amazon_reviews", files)
    (row,) = rows_of(shop)
    assert (row["user_id"], row["item_id"], row["rating"], row["review"]) == ("A1", "B1", 5.0, "good")
    assert row["timestamp"] == datetime(2014, 2, 28, tzinfo=UTC) and row["event_type"] == "review"
    (item,) = shop.items().to_dicts()
    assert (item["item_id"], item["title"], item["brand"], item["price"]) == ("B1", "Kite", "Fly", 9.5)
    assert item["category"] == "Toys > Kites"
    assert item["description"] == (" ".join(meta["description"]) if "description" in meta else None)


def test_recbole_movielens(tmp_path):
    shop = shop_of(tmp_path, "recbole", {
        "ml.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
        "ml.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
                   "242\tKolya\t1996\tComedy\n",
        "ml.user": "user_id:token\tage:token\tgender:token\n196\t49\tM\n"})
    (row,) = rows_of(shop)
    assert (row["user_id"], row["item_id"], row["rating"], row["event_type"]) == ("196", "242", 3.0, "rating")
    assert row["timestamp"] == datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert shop.items().select("title", "category", "release_year").rows() == [("Kolya", "Comedy", 1996)]
    assert shop.users().rows() == [("196", 49, "M")]


def test_sequences(tmp_path):
    files = {"items.csv": "item_id,title\n0,Mug\n1,Pot\n",
             "log.csv": "user_id,item_id,position\na,0,0\na,1,1\nb,1,0\n"}
    shop = shop_of(tmp_path, "sequences", files, "files: {events: log.csv}\nevent_type: purchase\n")
    assert shop.days() == [date(2000, 1, 1)] and shop.config.order_only
    assert [(row["item_id"], row["timestamp"].second, row["position"]) for row in rows_of(shop)] == [
        ("0", 58, None), ("1", 59, None), ("1", 59, None)]


@needs_data
@pytest.mark.data
def test_uci_online_retail_day_files(tmp_path):
    shop = shop_of(tmp_path, "online_retail", {}, f"data: {DATA / 'online_retail'}\nlast_day: 2010-12-05\n")
    assert [day.day for day in shop.days()] == [1, 2, 3, 5]
    drops = list(shop.events())
    assert sum(drop.rejects.height for drop in drops) == 0 and drops[0].events.height > 3000
    assert drops[0].events["user_id"][0] == "17850.0"
    items = shop.items()
    assert items.filter(pl.col("item_id") == "85123A")["title"].item() == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert "United Kingdom" in shop.users()["Country"].to_list()


@needs_data
@pytest.mark.data
def test_amazon_industrial_needs_only_a_shop_yaml(tmp_path):
    shop = shop_of(tmp_path, "sequences", {}, f"data: {DATA / 'amazon_industrial'}\n"
                   "files: {events: train_events.parquet}\n")
    (drop,) = shop.events()
    assert drop.events.height == 17_945 and shop.items().height == 3_686
    source = pl.read_parquet(DATA / "amazon_industrial" / "train_events.parquet").filter(user_id="A0")
    mine = drop.events.filter(user_id="A0").sort("timestamp")
    assert mine["item_id"].to_list() == source.sort("position")["item_id"].cast(pl.String).to_list()


def test_a_preset_that_was_changed_after_reading_is_read_as_it_stands():
    first = preset_settings("complete_journey", "shop.yaml")
    first["segments"].clear()
    assert preset_settings("complete_journey", "shop.yaml")["segments"]
