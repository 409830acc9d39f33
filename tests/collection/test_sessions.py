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


def thumb(item, at):
    return {"item_id": item, "event_type": "thumbs_down", "timestamp": at}


def test_a_thumb_down_is_kept_until_the_item_is_taken_later(stores, now):
    stores[0].add("ann", [thumb("a", 5.0), thumb("b", 6.0), click("c", 7.0)])
    stores[0].add("bea", [thumb("a", 5.0)])
    now[0] += 10_000
    stores[1].add("ann", [click("a", 4.0), click("b", 8.0)])  # one from before its thumb, one from after
    assert [(event["item_id"], event["event_type"]) for event in stores[0].newest("ann")] == [
        ("a", "click"), ("a", "thumbs_down"), ("b", "click")]
    now[0] += 10_000
    assert [(event["item_id"], event["event_type"]) for event in stores[1].newest("ann")] == [("a", "thumbs_down")]
    assert [event["item_id"] for event in stores[1].newest("bea")] == ["a"]


def test_thumbs_push_no_events_out_nor_events_thumbs(stores):
    stores[0].add("ann", [thumb(item, 50.0 + at) for at, item in enumerate("vwxyz")])
    stores[0].add("ann", [thumb("y", 60.0)])
    stores[0].add("ann", [click(item, 100.0 + at) for at, item in enumerate("abcde")])
    assert [event["item_id"] for event in stores[1].newest("ann")] == ["x", "z", "y", "c", "d", "e"]


def test_a_note_is_kept_for_its_time(stores, now):
    stores[0].put("adapter:x", {"support": [1, "é"]}, ttl_s=10)
    assert stores[1].get("adapter:x") == {"support": [1, "é"]} and stores[1].get("adapter:y") is None
    now[0] += 11
    assert stores[1].get("adapter:x") is None
