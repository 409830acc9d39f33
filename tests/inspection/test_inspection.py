"""What check-shop says of a folder, and that the shop.yaml it proposes opens it."""

from __future__ import annotations

import logging

import pytest

from benchmarks.doors.layouts import FILES, understood
from recsys_core.cli.main import main
from recsys_core.errors import ShopError
from recsys_core.ingestion.opening import open_shop
from recsys_core.inspection import inspect_shop
from tests.ingestion.test_shop import GOOD, HEADER, small_shop


@pytest.mark.parametrize("layout", list(FILES))
def test_public_layouts_are_understood(tmp_path, layout):
    assert understood(layout, tmp_path) == ""


def test_a_folder_that_opens_is_only_described(tmp_path, capsys):
    assert main(["check-shop", str(small_shop(tmp_path, GOOD))]) == 0
    text = capsys.readouterr().out
    assert "1 days, 2024-01-01 to 2024-01-01." in text and "100% of the events meet the items table" in text
    assert "to start from" not in text and len(list(tmp_path.iterdir())) == 3


def test_dirt_is_described(tmp_path, caplog):
    rows = ["u,01,2024-01-01,view"] * 3 + ["u,1,2024-01-01,glance", "broken"]
    small_shop(tmp_path, {"Log.csv": "\n".join([HEADER, *rows]).replace(",", ";"), "shop.yaml": "",
                          "goods.csv": "sku,name,genres\n1,Mug,a|b\n", "sheet.xlsx": "x", "old.csv": b"\xd0\xcf\x11\xe0"})
    (tmp_path / "items.csv").unlink()
    with caplog.at_level(logging.INFO):
        found = inspect_shop(tmp_path)
    text = str(found)
    for words in ("Log.csv: columns are separated by semicolon", "1 lines cannot be read", "25% of the events meet the items",
                  "one side lost its leading zeros", "would be set aside: unknown_item (item_id is not in the catalogue)",
                  "say nothing to us: glance",
                  "old.csv: is an old Excel workbook", "category_separator: '|'", "name: test_dirt_is_described0"):
        assert words in text, words
    assert not caplog.text
    (tmp_path / "shop.yaml").write_text(found.shop_yaml)
    assert open_shop(tmp_path).items()["title"].to_list() == ["Mug"]


def test_drops_and_split_files(tmp_path):
    files = {f"{folder}{name}": f"{HEADER.replace('item_id', 'sku')}\nu,1,2024-01-01,view\n" for folder, name in
             (("log/", "2024-01-01.csv"), ("log/", "2024-01-02.csv"))}
    found = inspect_shop(small_shop(tmp_path / "a", files))
    assert found.settings["day_drops"] == "log" and not found.error and "2 files named by their day" in str(found)
    months = {f"2024-{month}.csv": f"{HEADER}\nu,1,2024-0{n}-01,view\n" for n, month in ((1, "Jan"), (2, "Feb"))}
    found = inspect_shop(small_shop(tmp_path / "b", months))
    assert found.settings["files"]["events"] == "2024-*.csv" and "2 days, 2024-01-01 to 2024-02-01." in found.findings


def test_folders_that_hold_no_shop(tmp_path):
    with pytest.raises(ShopError, match="not a folder"):
        inspect_shop(tmp_path / "none")
    with pytest.raises(ShopError, match="no file that can be read"):
        inspect_shop(tmp_path)
    (tmp_path / "colours.csv").write_text("name,hex\nred,#f00\n")
    found = inspect_shop(tmp_path)
    assert "No file has a shopper and an item" in str(found) and "no events file" in found.error and not found.settings


def test_joins_that_do_not_fit_are_named(tmp_path):
    files = {"events.csv": "order_id,item_id,timestamp,event_type\n1,1,2024-01-01,view\n2,1,2024-01-01,view\n",
             "orders.csv": "order_id,user_id\n1,u\n1,v\n"}
    small_shop(tmp_path, files, "joins: [{file: orders.csv, on: order_id}]\n")
    with pytest.raises(ShopError, match="order_id '1' stands in more than one row"):
        list(open_shop(tmp_path).events())
    (tmp_path / "orders.csv").write_text("order_id,user_id\n1,u\n")
    assert next(open_shop(tmp_path).events()).events["user_id"].to_list() == ["u", None]
    for settings, words in (("{file: none.csv, on: order_id}", "none.csv: the file of a join is missing"),
                            ("{file: orders.csv, on: user_id}", "'user_id' is missing")):
        (tmp_path / "shop.yaml").write_text(f"joins: [{settings}]\n")
        with pytest.raises(ShopError, match=words):
            list(open_shop(tmp_path).events())
