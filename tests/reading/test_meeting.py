"""Two tables that do not meet say what keeps them apart."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_core.errors import ShopError
from recsys_core.ingestion.opening import open_shop
from recsys_core.reading import meet
from tests.ingestion.test_shop import HEADER, small_shop


@pytest.mark.parametrize(("asked", "known", "cause", "examples"), [
    (["1", "2"], ["001", "002"], "leading zeros", ("1", "001")), (["1.0", "2.0"], ["1", "2"], "decimal numbers", ("1.0", "1")),
    (["01.0"], ["1"], "leading zeros", ("01.0", "1")), ([" a"], ["a"], "white space", (" a", "a")),
    (["A1"], ["a1"], "case", ("A1", "a1")), (["SKU-17"], ["17"], "prefix", ("SKU-17", "17")),
    (["1.2E+12"], ["1234567890123"], "spreadsheet", ("1.2E+12", "1234567890123")), (["x", "y"], ["a"], "", ("x", "a")),
])
def test_causes(asked, known, cause, examples):
    found = meet(pl.Series(asked), pl.Series(known))
    assert found.share == 1 and cause in found.cause and (found.stranger, found.known) == examples


def test_ids_that_meet_and_tables_that_are_empty():
    assert meet(pl.Series(["a", None]), pl.Series(["a"])).share == 0
    assert meet(pl.Series(["a"]), pl.Series([], dtype=pl.String)).strangers == 1
    assert meet(pl.Series([], dtype=pl.String), pl.Series(["a"])).share == 0


def rows(*ids):
    return {"events.csv": "\n".join([HEADER, *(f"{user},{item},2024-01-01,view" for user, item in ids)])}


def test_decimals_in_events_follow_the_catalogue(tmp_path):
    shop = open_shop(small_shop(tmp_path, {**rows(("7.0", "1.0"), ("8.0", "")), "users.csv": "user_id,age\n7,30\n8,9\n"}))
    (day,) = shop.events()
    assert day.events["item_id"].to_list() == ["1", None] and day.events["user_id"].to_list() == ["7", "8"]
    assert shop.users().height == 2
    (tmp_path / "users.csv").unlink()
    assert next(open_shop(tmp_path).events()).events["user_id"].to_list() == ["7.0", "8.0"]  # nothing to follow


def test_shoppers_that_do_not_meet_their_table(tmp_path, caplog):
    small_shop(tmp_path, {**rows(("7", "1"), ("8", "1")), "users.csv": "user_id,age\n007,30\n008,9\n"})
    with pytest.raises(ShopError, match=r"users.csv: 100% of the shoppers in events.csv are not in it, e.g. '7', .*'007'"):
        open_shop(tmp_path).users()
    (tmp_path / "users.csv").write_text("user_id,age\n x ,30\n")
    assert open_shop(tmp_path).users()["user_id"].to_list() == ["x"] and "nothing in common" in caplog.text


def test_items_from_events_may_name_the_key(tmp_path):
    small_shop(tmp_path, rows(("u", "7")), "items_from_events: {item_id: item_id}\nusers_from_events: {user_id: user_id}\n")
    (tmp_path / "items.csv").unlink()
    shop = open_shop(tmp_path)
    assert shop.items()["item_id"].to_list() == ["7"] and shop.users().to_dicts() == [{"user_id": "u"}]
