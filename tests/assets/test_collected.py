"""What the service collected becomes the chain's own, and a file that changes makes its day stale."""

import os
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl

from orchestration.freshness import Freshness, changed_at
from recsys_core.collection import EventLog
from recsys_core.features import read_features
from tests.assets.runs import DAYS, materialize

EVENING = datetime.fromisoformat("2024-03-12T21:00:00+00:00").timestamp()


def collect(home):
    log = EventLog(home.path / "collected", ZoneInfo("UTC"), clock=lambda: EVENING)
    log.add_exposures([{"request_id": "r1", "user_id": "newcomer", "items": [
        {"item_id": "K03", "position": 1, "propensity": 1.0}, {"item_id": "G04", "position": 2, "propensity": 1.0}]}])
    return log.add_events([
        {"user_id": "newcomer", "event_type": "purchase", "item_id": "G04", "timestamp": EVENING + 60},
        {"user_id": "newcomer", "event_type": "click", "item_id": "no such item"}])


def test_collected_events_are_interactions_and_shown_lists_are_exposures(home):
    bought, _ = collect(home)
    materialize(home, "ingestion", "cleaning", days=DAYS)
    materialize(home, "features")
    taken = read_features(home.path / "features", "interactions").collect().filter(pl.col("user_id") == "newcomer")
    assert taken.select("event_id", "item_id", "event_type").rows() == [(bought, "G04", "purchase")]
    shown = read_features(home.path / "features", "exposures").collect().filter(pl.col("user_id") == "newcomer")
    assert shown.sort("position").select("item_id", "position", "label").rows() == [("K03", 1, 0), ("G04", 2, 1)]


def test_a_collected_file_that_changes_changes_its_day(home):
    day = datetime.fromtimestamp(EVENING, ZoneInfo("UTC")).date()
    with dg.DagsterInstance.ephemeral() as instance:
        before = Freshness(home, instance).delivery([str(day)])
        collect(home)
        [file] = [path for path in home.open_shop().day_files(day) if "collected/events" in str(path)]
        os.utime(file, (time.time() + 5,) * 2)
        assert changed_at(home.open_shop().day_files(day)) > time.time() + 4
        assert Freshness(home, instance).delivery([str(day)]) != before
        assert Freshness(home, instance).delivery(["2024-03-05"]) == Freshness(home, instance).delivery(["2024-03-05"])
