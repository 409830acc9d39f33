from datetime import date, datetime, timedelta

import polars as pl
import pytest

from recsys_core.deployment.shelves import make_shelves, new_arrivals
from recsys_core.interactions.arrays import make_interactions
from recsys_core.promotions.shelves import Shelves
from recsys_core.schema import RAW_SHELVES
from tests.serving.tiny import tiny_catalogue

CATALOGUE = tiny_catalogue()
FIRST = datetime(2024, 1, 1, 12)


def sold(days: dict[str, list[float]]):
    """Events of items on days after the log's first."""
    rows = [{"event_id": f"{item}-{day}", "user_id": "u", "item_id": item, "timestamp": FIRST + timedelta(days=day),
             "event_type": "purchase", "session_id": "s"} for item, all_days in days.items() for day in all_days]
    return make_interactions(pl.DataFrame(rows).with_columns(pl.col("timestamp").dt.replace_time_zone("UTC")), CATALOGUE)


def shelf(days: dict[str, list[float]], zone: str = "UTC") -> dict[str, date]:
    return dict(new_arrivals(sold(days), CATALOGUE, zone).select("item_id", "first_day").iter_rows())


def test_new_arrivals_were_first_sold_in_the_last_28_days():
    found = shelf({"k0": [0, 99], "g0": [72, 99], "t0": [71, 99], "d0": [99]})
    assert found == {"g0": date(2024, 3, 13), "d0": date(2024, 4, 9)}  # t0 has been sold for 29 days
    rows = new_arrivals(sold({"k0": [0], "g0": [99]}), CATALOGUE, "UTC")
    assert rows.schema == RAW_SHELVES and rows["last_day"].to_list() == [date(2024, 5, 6)]


def test_what_is_there_when_the_log_begins_is_not_new():
    assert shelf({"k0": [0, 5], "g0": [5]}) == {}
    assert shelf({"k0": [0, 40], "g0": [27], "t0": [28]}) == {"t0": date(2024, 1, 29)}
    assert new_arrivals(sold({"k0": [0]}).before(0), CATALOGUE, "UTC").is_empty()


def test_days_are_the_shops():
    assert shelf({"k0": [0], "g0": [60.5]}) == {"g0": date(2024, 3, 2)}  # midnight
    assert shelf({"k0": [0], "g0": [60.5]}, "America/New_York") == {"g0": date(2024, 3, 1)}


@pytest.mark.parametrize("own", [None, "campaign", "new-arrivals"])
def test_a_shops_own_shelf_of_that_name_wins(own):
    raw = own and pl.DataFrame([(own, "d4", None, None)], schema=RAW_SHELVES, orient="row")
    frame = make_shelves(raw, sold({"k0": [0], "g0": [60]}), CATALOGUE, "UTC")
    found = {(row["shelf"], row["item_id"]) for row in frame.iter_rows(named=True)}
    new = ("new-arrivals", "d4") if own == "new-arrivals" else ("new-arrivals", "g0")
    assert found == {new} | ({(own, "d4")} if own else set())
    assert Shelves(frame, CATALOGUE.row_of).allowed("new-arrivals", date(2024, 3, 5))[0].sum() == 1
