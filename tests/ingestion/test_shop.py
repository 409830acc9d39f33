"""The shop contract end to end on small shops: what opens, what is yielded, what stops."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.opening import open_shop
from tests.shops import FIRST_DAY, planted_shop

EVENT = '{{"user_id": "u", "item_id": "1", "timestamp": "{}", "event_type": "view"}}\n'


def small_shop(folder: Path, files: dict[str, str | bytes], settings: str = "") -> Path:
    files = {"items.csv": "item_id,title,colour\n1,Mug,red\n", "shop.yaml": settings, **files}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return planted_shop(tmp_path_factory.mktemp("planted"), users=12, days=8)


def test_planted_shop_opens_and_reads(planted):
    shop = open_shop(planted)
    assert shop.days() == [date(2024, 3, day) for day in range(1, 9)]
    assert (shop.first_day, shop.last_day) == (FIRST_DAY, date(2024, 3, 8))
    drops = list(shop.events())
    assert [drop.day for drop in drops] == shop.days()
    for drop in drops:
        assert dict(drop.events.schema) == schema.RAW_EVENTS and drop.rejects.is_empty()
        assert set(drop.events["timestamp"].dt.date()) == {drop.day}
        assert set(drop.events["source"]) == {f"{drop.day}.jsonl"}
    assert len(shop.items()) == 120 and shop.users()["region"].n_unique() == 3
    assert dict(shop.judgments().schema) == schema.JUDGMENTS and dict(shop.labels().schema) == schema.LABELS
    assert shop.config.segments[0].name == "toys"


def test_a_stretch_of_days(planted):
    shop = open_shop(planted)
    drops = list(shop.events(date(2024, 3, 3), date(2024, 3, 4)))
    assert [drop.day.day for drop in drops] == [3, 4]
    assert list(shop.events(date(2025, 1, 1), date(2025, 1, 2))) == []


def test_first_and_last_day_clip(tmp_path):
    drops = {f"events/2024-01-0{n}.jsonl": EVENT.format(f"2024-01-0{n}") for n in range(1, 6)}
    shop = open_shop(small_shop(tmp_path, drops, "first_day: 2024-01-02\nlast_day: 2024-01-03\n"))
    assert [day.day for day in shop.days()] == [2, 3]
    assert [drop.day.day for drop in shop.events()] == [2, 3]


def test_no_day_left(tmp_path):
    drop = {"events/2024-01-01.jsonl": EVENT.format("2024-01-01")}
    shop = open_shop(small_shop(tmp_path, drop, "first_day: 2025-01-01\n"))
    with pytest.raises(ShopError, match="no day with events"):
        _ = shop.last_day


def test_one_file_is_split_into_local_days(tmp_path):
    moments = ["2024-01-02T03:00:00Z", "2024-01-02T12:00:00Z", "soon", "1970-01-01T00:00:00Z",
               "2999-01-01T00:00:00Z"]
    lines = "".join(EVENT.format(moment) for moment in moments) + "{broken\n"
    shop = open_shop(small_shop(tmp_path, {"events.jsonl": lines}, "time_zone: America/New_York\n"))
    assert shop.days() == [date(2024, 1, 1), date(2024, 1, 2)]
    first, second = shop.events()
    assert first.events["timestamp"].to_list()[0] == datetime(2024, 1, 2, 3, tzinfo=UTC)
    assert first.events.height == 4 and first.rejects["line"].to_list() == [6]  # the implausible come along
    assert second.events.height == 1 and second.rejects.is_empty()


@pytest.mark.parametrize("name", ["events.parquet", "events.csv", "events.jsonl"])
def test_formats_agree(tmp_path, name):
    frame = pl.DataFrame({"user_id": ["01", "02"], "item_id": ["1", "1"], "event_type": ["view", "click"],
                          "timestamp": ["2024-01-01 10:00:00", "2024-01-02 10:00:00"], "price": [1.5, None]})
    write = {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}
    small_shop(tmp_path, {})
    write[name.split(".")[1]](tmp_path / name)
    shop = open_shop(tmp_path)
    assert [day.day for day in shop.days()] == [1, 2]
    rows = pl.concat([drop.events for drop in shop.events()])
    assert rows["user_id"].to_list() == ["01", "02"] and rows["price"].to_list() == [1.5, None]
    assert rows["timestamp"][0] == datetime(2024, 1, 1, 10, tzinfo=UTC)


def test_broken_lines_of_a_drop_are_set_aside(tmp_path):
    drop = EVENT.format("2024-01-01").encode() + b"\xff\xfe\n" + EVENT.format("soon").encode()
    shop = open_shop(small_shop(tmp_path, {"events/2024-01-01.jsonl": drop}))
    (day,) = shop.events()
    assert day.events.height == 2 and day.events["timestamp"].null_count() == 1
    assert day.rejects.select("source", "line").rows() == [("2024-01-01.jsonl", 2)]


HEADER = "user_id,item_id,timestamp,event_type"
ROW = "u,1,2024-01-01,view"


@pytest.mark.parametrize(("second", "words"), [
    ("uid,item_id,timestamp,event_type", ["'user_id' is missing", "uid, item_id"]),
    (HEADER + ",price", ["'price' is new compared with 2024-01-01.csv"]),
])
def test_changed_headers_stop_before_the_first_day(tmp_path, second, words):
    drops = {"events/2024-01-01.csv": f"{HEADER}\n{ROW}\n", "events/2024-01-02.csv": f"{second}\n{ROW},1\n"}
    shop = open_shop(small_shop(tmp_path, drops))
    assert len(list(shop.events(date(2024, 1, 1), date(2024, 1, 1)))) == 1
    with pytest.raises(ShopError) as error:
        shop.events()  # not even iterated
    assert error.value.artefact.endswith("2024-01-02.csv")
    for word in words:
        assert word in str(error.value)


def test_dropped_optional_column_stops_too(tmp_path):
    drops = {"events/2024-01-01.csv": f"{HEADER},price\n{ROW},1\n",
             "events/2024-01-02.csv": f"{HEADER}\n{ROW}\n"}
    with pytest.raises(ShopError, match="'price' is missing compared with"):
        open_shop(small_shop(tmp_path, drops)).events(date(2024, 1, 2), date(2024, 1, 2))


@pytest.mark.parametrize("content", ["", HEADER + "\n"])
def test_empty_drops_are_never_green(tmp_path, content):
    shop = open_shop(small_shop(tmp_path, {"events/2024-01-01.csv": content}))
    with pytest.raises(ShopError, match="holds no events"):
        list(shop.events())


def test_retyped_column_stops(tmp_path):
    drop = f"{HEADER}\n" + "u,1,monday,view\n" * 3
    with pytest.raises(ShopError, match="not one of 3 values is a timestamp"):
        list(open_shop(small_shop(tmp_path, {"events/2024-01-01.csv": drop})).events())


GOOD = {"events/2024-01-01.csv": f"{HEADER}\n{ROW}\n"}


@pytest.mark.parametrize(("files", "settings", "words"), [
    ({"events/first.csv": "x"}, "", ["first.csv", "not a day"]),
    ({"events/2024-01-01.csv": "x", "events/2024-01-01.jsonl": "y"}, "", ["same day"]),
    ({**GOOD, "events.csv": "x"}, "", ["both day drops", "events.csv"]),
    ({"events.csv": "x", "events.jsonl": "y"}, "", ["several events files"]),
    ({}, "", ["no events file", "items.csv"]),
    (GOOD, "files: {items: goods.csv}", ["goods.csv", "missing"]),
    (GOOD, "data: elsewhere", ["elsewhere", "not a folder"]),
    (GOOD, "order_only: true", ["day drops of an order_only shop"]),
    (GOOD, "segments: [{name: red, kind: custom, where: items.color = 'red'}]", ["'red'", "items.colour"]),
    ({**GOOD, "items.csv": "id,title\n1,Mug\n"}, "", ["'item_id' is missing", "id, title"]),
    ({**GOOD, "items.jsonl": '{"item_id": 1}'}, "", ["several items files"]),
])
def test_what_does_not_open(tmp_path, files, settings, words):
    with pytest.raises(ShopError) as error:
        open_shop(small_shop(tmp_path, files, settings))
    for word in words:
        assert word in str(error.value)


def test_no_folder_and_no_items(tmp_path):
    with pytest.raises(ShopError, match="RECSYS_SHOP"):
        open_shop(tmp_path / "nowhere")
    (tmp_path / "events.jsonl").write_text(EVENT.format("2024-01-01"))
    with pytest.raises(ShopError, match="no items file"):
        open_shop(tmp_path)
    with pytest.raises(ShopError, match="profile"):
        open_shop(tmp_path, "tiny")


@pytest.mark.parametrize("content", ["item_id,title\n", 'item_id,title\n1,a,b\n"2\n3,x\n'])
def test_hopeless_items_stop(tmp_path, content):
    shop = open_shop(small_shop(tmp_path, {**GOOD, "items.csv": content}))
    with pytest.raises(ShopError, match="readable and"):
        shop.items()


def test_shop_yaml_may_live_elsewhere(tmp_path):
    small_shop(tmp_path / "data", GOOD)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shop.yaml").write_text("data: ../data\nname: mine\n")
    shop = open_shop(tmp_path / "mine")
    assert shop.config.name == "mine" and shop.days() == [date(2024, 1, 1)]
    assert shop.items()["colour"].to_list() == ["red"] and shop.users() is None
