"""The event log: lines of many writers, local days, ids, and nothing personal."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from recsys_core.collection import EventLog
from recsys_core.errors import RecsysError

NOON = datetime.fromisoformat("2024-03-11T12:00:00+00:00").timestamp()
ZONE = ZoneInfo("America/New_York")


def rows_of(folder, kind="events"):
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in (folder / kind).glob("*")}


def test_a_row_goes_to_the_local_day_on_which_it_arrives(tmp_path):
    log = EventLog(tmp_path, ZONE, clock=lambda: NOON - 9 * 3600)  # three in the night in London, the evening before there
    [made] = log.add_events([{"user_id": "a", "event_type": "click", "item_id": "k0", "timestamp": NOON - 3 * 86_400}])
    [(day, [row])] = rows_of(tmp_path).items()
    assert day == "2024-03-10" and row["timestamp"] == "2024-03-08T12:00:00.000000+00:00" and row["event_id"] == made


def test_a_row_keeps_what_it_says_and_loses_personal_data(tmp_path):
    EventLog(tmp_path, ZONE, clock=lambda: NOON).add_events([
        {"user_id": "a", "event_type": "review", "item_id": "k0", "event_id": "e1", "review": "write to ann@x.org",
         "context": {"store": "367", "site": None}, "price": None}])
    [[row]] = rows_of(tmp_path).values()
    assert row == {"user_id": "a", "event_type": "review", "item_id": "k0", "event_id": "e1", "review": "write to [email]",
                   "context": '{"store": "367"}', "timestamp": "2024-03-11T12:00:00.000000+00:00", "source": "service"}


@pytest.mark.parametrize(("given", "wanted"), [
    ("电话13800138000谢谢", "电话[phone]谢谢"), ("卡号6222021234567890123号", "卡号[card]号"),
    ("โทร0812345678ครับ", "โทร[phone]ครับ"),
    ("ａｎｎ＠ｘ．ｏｒｇ", "[email]"), ("138\u200b0013\u200b8000", "[phone]"), ("٠٥٥١٢٣٤٥٦٧", "[phone]"),
    ("型号ab1234567890", "型号ab1234567890"), ("红茶 ５００ｍｌ", "红茶 ５００ｍｌ"), ("👩\u200d🍳", "👩\u200d🍳")])
def test_personal_data_of_a_search_is_masked_whatever_stands_beside_it(tmp_path, given, wanted):
    EventLog(tmp_path, ZONE, clock=lambda: NOON).add_events([{"user_id": "a", "event_type": "search", "query": given}])
    [[row]] = rows_of(tmp_path).values()
    assert row["query"] == wanted


def _append_many(folder, writer):
    log = EventLog(folder, ZONE)
    for n in range(200):
        log.add_events([{"user_id": f"{writer}", "event_type": "click", "item_id": f"{n}-{'x' * 300}"}] * 3)


def test_lines_of_several_processes_never_mix(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_append_many, [tmp_path] * 4, range(4)))
    rows = [row for day in rows_of(tmp_path).values() for row in day]
    assert len(rows) == 2400 and len({row["event_id"] for row in rows}) == 2400


def test_a_full_disk_is_an_error_that_leaves_the_file_readable(tmp_path, monkeypatch):
    log, write = EventLog(tmp_path, ZONE), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:20]))
    with pytest.raises(RecsysError, match="full"):
        log.add_events([{"user_id": "a", "event_type": "click", "item_id": "k0"}])
    monkeypatch.undo()
    log.add_events([{"user_id": "b", "event_type": "click", "item_id": "k0"}])
    [day] = (tmp_path / "events").glob("*")
    torn, whole = day.read_text().splitlines()
    assert len(torn) == 20 and json.loads(whole)["user_id"] == "b"
