"""Which file is whose, and that none which is named like a day is passed over."""

from __future__ import annotations

import gzip
import logging
from datetime import date

import polars as pl
import pytest

from recsys_core.errors import ShopError
from recsys_core.ingestion.opening import open_shop
from tests.ingestion.test_shop import HEADER, small_shop

DROP = f"{HEADER}\nu,1,2024-01-0{{}}T10:00:00,view\n"
FIRST = {"events/2024-01-01.csv": DROP.format(1)}


@pytest.mark.parametrize("ending", ["CSV", "txt", "csv.GZ", "csv.zip", "json"])
@pytest.mark.parametrize("day_drops", ["events", "."])
def test_other_endings_of_a_day(tmp_path, ending, day_drops):
    name = f"2024-01-02.{ending}"
    data = gzip.compress(DROP.format(2).encode()) if name.endswith("GZ") else DROP.format(2).encode()
    folder = "events/" if day_drops == "events" else ""
    files = {f"{folder}2024-01-01.csv": DROP.format(1), f"{folder}{name}": data}
    shop = open_shop(small_shop(tmp_path, files, f"day_drops: '{day_drops}'\n"))
    assert [day.day for day in shop.days()] == [1, 2]
    assert sum(drop.events.height for drop in shop.events()) == 2


@pytest.mark.parametrize("name", ["2024-01-02.xlsx", "2024-01-02", "2024-01-02.csv.part", "2024-01-02 (1).csv",
                                  "2024-01-02/part.csv", "2024-01-02.csv.done", "2024-13-02.csv", "2024-01-02.csv.csv"])
def test_a_day_that_is_not_read_is_refused_by_name(tmp_path, name):
    with pytest.raises(ShopError) as error:
        open_shop(small_shop(tmp_path, {**FIRST, f"events/{name}": "x"}))
    assert name.split("/")[0] in error.value.artefact


def test_companions_and_notes_are_no_drops(tmp_path):
    names = ("2024-01-01.csv.md5", "2024-01-01.done", "README.txt", ".2024-01-02.csv", "a.md")
    others = {f"events/{name}": "x" for name in names}
    assert open_shop(small_shop(tmp_path, {**FIRST, **others})).days() == [date(2024, 1, 1)]


def test_brackets_in_names_are_no_patterns(tmp_path):
    folder = small_shop(tmp_path / "shop [1]*? %20 Ж", {"train [1].csv": DROP.format(1)}, 'files: {events: "train [1].csv"}\n')
    (folder / "items.csv").unlink()
    pl.DataFrame({"item_id": ["1"], "title": ["Mug"]}).write_parquet(folder / "items.parquet")
    shop = open_shop(folder)
    assert shop.items().height == 1 and next(shop.events()).events.height == 1
    (folder / "shop.yaml").write_text('files: {events: "train*"}\n')
    assert open_shop(folder).days() == [date(2024, 1, 1)]


def test_tables_in_other_letters(tmp_path, caplog):
    folder = small_shop(tmp_path, {"EVENTS.Csv": DROP.format(1), "Users.txt": "user_id;age\nu;30\n"})
    (folder / "items.csv").rename(folder / "ITEMS.CSV")
    with caplog.at_level(logging.INFO):
        shop = open_shop(folder)
        assert shop.users()["age"].to_list() == [30] and shop.items().height == 1
    assert "Users.txt is read as the users table" in caplog.text and "separated by semicolon" in caplog.text
    (folder / "items.txt").write_text("x")
    with pytest.raises(ShopError, match="several items files"):
        open_shop(folder)


def test_stray_quotes_lose_no_day(tmp_path):
    rows = [f"u,1,2024-02-0{day}T10:00:00,view," for day in range(1, 10)]
    rows[2] = 'u,,2024-02-03T10:00:00,search,15" screen'
    shop = open_shop(small_shop(tmp_path, {"events.csv": "\n".join([HEADER + ",query", *rows])}))
    assert len(shop.days()) == 9 and [drop.events.height for drop in shop.events()] == [1] * 9


def test_many_rejects_are_told(tmp_path, caplog):
    rows = [ROW for ROW in [DROP.format(1).split("\n")[1]] * 9] + ["broken"]
    shop = open_shop(small_shop(tmp_path, {"events/2024-01-01.csv": "\n".join([HEADER, *rows])}))
    assert next(shop.events()).rejects.height == 1
    assert "1 of 10 records set aside (10.0%), e.g. line 11: 1 fields instead of 4: 'broken'" in caplog.text


def test_a_broken_row_does_not_change_how_a_column_is_read(tmp_path):
    rows = ["u,1,20240201,view", "a,b,c,d,e,f", "u,1,20240202,view"]
    shop = open_shop(small_shop(tmp_path, {"events.csv": "\n".join([HEADER, *rows])}))
    assert shop.days() == [date(2024, 2, 1), date(2024, 2, 2)]
