"""The contract of `Sessions`, kept by every store."""

import fakeredis
import pytest

from recsys_core.collection import RedisSessions, SessionConfig, SqliteSessions

CONFIG = SessionConfig(ttl_s=100, events_per_user=3)


@pytest.fixture
def now():
    return [1000.0]


@pytest.fixture(params=["sqlite", "redis"])
def stores(request, tmp_path, now):
    """Two workers' views of one store."""
    if request.param == "redis":
        server = fakeredis.FakeServer()
        return [RedisSessions(fakeredis.FakeRedis(server=server), CONFIG, clock=lambda: now[0]) for _ in range(2)]
    return [SqliteSessions(tmp_path / "sessions.sqlite", CONFIG, clock=lambda: now[0]) for _ in range(2)]


def click(item, at):
    return {"item_id": item, "event_type": "click", "timestamp": at, "price": 3.0}


def test_what_one_worker_adds_the_other_reads_in_the_order_of_time(stores):
    one, other = stores
    one.add("ann", [click("b", 20.0), click("a", 10.0)])
    other.add("ann", [click("c", 15.0)])
    assert [(event["item_id"], event["timestamp"]) for event in one.newest("ann")] == [("a", 10.0), ("c", 15.0), ("b", 20.0)]
    assert other.newest("ann") == one.newest("ann") and one.newest("bea") == []
    assert one.newest("ann")[0]["event_type"] == "click"


def test_only_the_newest_events_are_kept(stores):
    stores[0].add("ann", [click(item, at) for at, item in enumerate("abcde")])
    stores[0].add("bea", [click("z", 1.0)])
    assert [event["item_id"] for event in stores[1].newest("ann")] == ["c", "d", "e"]


def test_events_are_forgotten_after_their_time(stores, now):
    stores[0].add("ann", [click("a", 1.0)])
    now[0] += 60
    stores[0].add("ann", [click("b", 2.0)])
    now[0] += 50
    assert [event["item_id"] for event in stores[1].newest("ann")] == ["b"]


def test_a_note_is_kept_for_its_time(stores, now):
    stores[0].put("adapter:x", {"support": [1, "é"]}, ttl_s=10)
    assert stores[1].get("adapter:x") == {"support": [1, "é"]} and stores[1].get("adapter:y") is None
    now[0] += 11
    assert stores[1].get("adapter:x") is None
