from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from recsys_core.errors import RequestError
from recsys_core.interactions.arrays import Catalogue, make_interactions, make_queries
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving.history import join_histories, parse_history, to_seconds
from tests.serving.tiny import tiny_catalogue, tiny_events

ROWS = {"a": 0, "b": 1, "c": 2}


def test_bare_ids_are_one_step_each():
    past = parse_history(["a", "b", "a"], ROWS, None, "click")
    assert past.items.tolist() == [0, 1, 0] and past.steps_ago.tolist() == [2, 1, 0] and past.steps == 3
    assert past.days_ago.tolist() == [0, 0, 0] and past.first_days_ago is None
    assert set(past.event_type.tolist()) == {POSITIVE_EVENTS.index("click")}


def test_equal_timestamps_are_one_step_and_ages_count_from_the_request():
    at = datetime(2024, 1, 10, tzinfo=UTC)
    events = [{"item_id": i, "timestamp": at - timedelta(days=d)} for i, d in [("b", 1), ("a", 1), ("c", 4)]]
    past = parse_history(events, ROWS, at.timestamp(), "purchase")
    assert past.items.tolist() == [2, 0, 1] and past.steps_ago.tolist() == [1, 0, 0]
    assert past.days_ago.tolist() == [4, 1, 1] and past.first_days_ago == 4 and past.steps == 2
    assert parse_history(events, ROWS, None, "purchase").days_ago.tolist() == [3, 0, 0]


def test_a_timestamp_missing_anywhere_makes_the_whole_history_untimed():
    past = parse_history([{"item_id": "a", "timestamp": 5}, "b"], ROWS, None, "purchase")
    assert past.first_days_ago is None and past.steps_ago.tolist() == [1, 0]


def test_long_histories_keep_their_newest_events():
    past = parse_history(["a"] * 1500 + ["b"], ROWS, None, "purchase")
    assert len(past.items) == 1000 and past.items[-1] == 1 and past.steps_ago[-1] == 0


def test_the_same_shopper_looks_the_same_as_in_training():
    catalogue: Catalogue = tiny_catalogue()
    table = tiny_events()
    queries = make_queries(make_interactions(table, catalogue), 0, 2**40)
    last = np.flatnonzero(queries.user == 3)[-1]
    wanted = queries.histories[last:last + 1]
    rows = table.filter(table["user_id"] == "u03").sort("timestamp")[:-1]
    past = parse_history(rows.to_dicts(), catalogue.row_of, float(queries.timestamp[last]), "purchase")
    found = join_histories([past])
    for name in ("indptr", "items", "steps_ago", "days_ago", "event_type"):
        assert np.allclose(getattr(found, name), getattr(wanted, name)), name
        assert getattr(found, name).dtype == getattr(wanted, name).dtype, name


def test_a_time_without_a_zone_is_the_shops_as_in_its_files():
    berlin = ZoneInfo("Europe/Berlin")

    def utc(text: str) -> str:
        found = {to_seconds(value, berlin) for value in (text, datetime.fromisoformat(text), np.datetime64(text))}
        return datetime.fromtimestamp(found.pop(), UTC).strftime("%d %H:%M") if len(found) == 1 else str(found)

    assert (utc("2024-07-01T10:00"), utc("2024-01-01T10:00")) == ("01 08:00", "01 09:00")
    assert utc("2024-10-27T02:30") == "27 00:30"  # happens twice: the earlier
    assert utc("2024-03-31T02:30") == "31 01:30"  # never happens: 03:30, as far after the change
    assert to_seconds(date(2024, 7, 1), berlin) == to_seconds("2024-06-30T22:00Z")
    assert to_seconds("2024-07-01T10:00+00:00", berlin) == to_seconds("2024-07-01T10:00Z")


def test_times_in_many_forms():
    moment = datetime(2024, 3, 1, 12, tzinfo=UTC)
    for value in (moment, moment.replace(tzinfo=None), "2024-03-01T12:00:00", "2024-03-01T13:00:00+01:00",
                  moment.timestamp(), int(moment.timestamp())):
        assert to_seconds(value) == moment.timestamp()
    assert to_seconds(date(2024, 3, 1)) == moment.timestamp() - 43_200
    for value in (np.datetime64("2024-03-01T12:00"), " 2024-03-01T12:00 ", pd.Timestamp(moment), np.int64(moment.timestamp())):
        assert to_seconds(value) == moment.timestamp()
    for value in (True, None, np.datetime64("NaT"), pd.NaT, datetime.min, datetime.max, date.max, -1e11, 1 << 400):
        with pytest.raises(RequestError):
            to_seconds(value)
    for value in ("", "soon", float("nan"), float("inf"), [], 1e20):
        with pytest.raises(RequestError):
            to_seconds(value)
