"""A shop together with what the service collected on its days."""

import json
import os
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from recsys_core.cleaning.events import CleaningConfig, clean_events
from recsys_core.collection import CollectedShop, EventLog, read_unwanted
from recsys_core.ingestion import open_shop
from recsys_core.schema import RAW_EVENTS
from tests.shops import planted_shop

UTC = ZoneInfo("UTC")
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 6)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return open_shop(planted_shop(tmp_path_factory.mktemp("collected") / "shop", users=6, days=6))


def collect(folder, day, *rows, exposure=None):
    log = EventLog(folder, UTC, clock=lambda: datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
    log.add_events([{"user_id": "u001", "event_type": "click", "item_id": "K00", **row} for row in rows])
    if exposure:
        log.add_exposures([exposure, exposure | {"experiment": "other"}])


def events_of(shop, day):
    [drop] = shop.events(day, day)
    return drop


def test_without_a_folder_it_is_the_shop(shop, tmp_path):
    both = CollectedShop(shop, tmp_path / "none", today=date(2024, 3, 9))
    assert both.days() == shop.days() and both.day_files(FIRST) == shop.day_files(FIRST)
    assert events_of(both, FIRST).events.equals(events_of(shop, FIRST).events)


def test_collected_events_join_the_shops_own_day(shop, tmp_path):
    collect(tmp_path, LAST, {"context": {"scene": "spring-fair", "other": 1}}, {"user_id": "guest", "quantity": 2.0})
    both = CollectedShop(shop, tmp_path, today=date(2024, 3, 9))
    own, found = events_of(shop, LAST).events, events_of(both, LAST).events
    assert found.schema == RAW_EVENTS and found[:own.height].equals(own)
    added = found[own.height:].to_dicts()
    assert [row["source"] for row in added] == ["service"] * 2 and added[0]["context"] == '{"scene": "spring-fair"}'
    assert added[0]["timestamp"] == datetime(2024, 3, 6, 12, tzinfo=UTC) and added[1]["quantity"] == 2.0
    assert both.ledger["service/events/2024-03-06.jsonl"].loaded == 2


def test_days_that_only_the_service_has_exist_once_they_are_over(shop, tmp_path):
    for day in (date(2024, 2, 28), date(2024, 3, 8), date(2024, 3, 9)):
        collect(tmp_path, day, {})
    both = CollectedShop(shop, tmp_path, today=date(2024, 3, 9))
    assert both.days() == [*shop.days(), date(2024, 3, 8)]
    assert events_of(both, date(2024, 3, 8)).events["item_id"].to_list() == ["K00"]
    assert CollectedShop(shop, tmp_path, today=date(2024, 3, 10)).last_day == date(2024, 3, 9)


def test_clicks_tried_out_over_old_data_are_no_days_of_the_shop(shop, tmp_path, caplog):
    collect(tmp_path, date(2024, 3, 20), {})
    collect(tmp_path, date(2024, 9, 1), {})
    assert CollectedShop(shop, tmp_path, today=date(2024, 9, 3)).last_day == date(2024, 3, 20)
    assert "2024-09-01 is 165 days after 2024-03-20" in caplog.text


def test_a_shown_list_becomes_impressions(shop, tmp_path):
    shown = [{"item_id": "K01", "position": 1, "propensity": 1.0, "score": 2.0},
             {"item_id": "G02", "position": 2, "propensity": 0.5, "score": 1.0}]
    collect(tmp_path, date(2024, 3, 7), exposure={"request_id": "r7", "user_id": "u002", "items": shown, "session_id": "s"})
    [drop] = CollectedShop(shop, tmp_path, today=date(2024, 3, 9)).events(date(2024, 3, 7))
    assert drop.events["event_id"].is_unique().all() and drop.events["event_id"][0].startswith("r7-2024-03-07T12:00")
    assert drop.events.select("event_type", "item_id", "position", "propensity", "session_id").rows() == [
        ("impression", "K01", 1, 1.0, "s"), ("impression", "G02", 2, 0.5, "s")]


def test_strange_rows_break_no_night(shop, tmp_path, caplog):
    day = date(2024, 3, 7)
    collect(tmp_path, day, *[{"item_id": f"x{n}"} for n in range(20)], {"user_id": "stranger"}, {"event_id": "again"},
            {"event_type": "thumbs_down"},            {"event_id": "again", "timestamp": 1709800000.0})
    with open(tmp_path / "events" / f"{day}.jsonl", "a") as file:
        file.write('{"event_id": "torn", "us\n[1]\n{"event_id": "no time"}\n')
    both = CollectedShop(shop, tmp_path, today=date(2024, 3, 9))
    [drop] = both.events(day)
    assert "20 of 22 collected events name items" in caplog.text
    assert drop.rejects.height == 3 and drop.events["user_id"].to_list() == ["stranger", "u001"]
    both.check_ledger()
    cleaned = clean_events(drop.events, shop.items()["item_id"], CleaningConfig(), day)
    assert cleaned.events.height == 2 and cleaned.quarantined.height == 0


def test_the_newest_thumb_down_of_each_shopper_and_item_is_read(tmp_path):
    down = {"event_type": "thumbs_down", "item_id": "K02"}
    collect(tmp_path, date(2024, 3, 7), {}, {**down, "event_id": "late", "timestamp": 1709800000.0}, {**down, "user_id": "u009"})
    collect(tmp_path, date(2024, 3, 8), {**down, "timestamp": 1709900000.0}, {"query": "thumbs_down", "item_id": "G01"})
    with open(tmp_path / "events" / "2024-03-08.jsonl", "a") as file:
        file.write('{"event_type": "thumbs_down", "us\n["thumbs_down"]\n')
    assert read_unwanted(tmp_path) == {("u001", "K02"): datetime.fromtimestamp(1709900000, UTC),
                                       ("u009", "K02"): datetime(2024, 3, 7, 12, tzinfo=UTC)}
    assert read_unwanted(tmp_path / "nowhere") == {}


def test_a_changed_file_is_a_changed_day(shop, tmp_path):
    collect(tmp_path, LAST, {})
    files = CollectedShop(shop, tmp_path, today=date(2024, 3, 9)).day_files(LAST)
    assert [path.name for path in files] == ["2024-03-06.jsonl"] * 2 and files[1].parent == tmp_path / "events"
    assert json.loads(files[1].read_text())["item_id"] == "K00" and os.path.getsize(files[1])
