"""What is answered where a part of the model fails, and that it is told."""

import logging

import pytest

from recsys_core.serving import Bundle


class Failing(Bundle):
    """The tiny bundle, whose adapters or whose every list fails."""

    def __init__(self, bundle, everything):
        super().__init__(bundle.parts)
        self.everything = everything

    def recommend(self, *asked, segment=None, **more):
        if segment is not None or self.everything:
            raise ZeroDivisionError("planted")
        return super().recommend(*asked, segment=segment, **more)


@pytest.fixture
def failing(make_client, bundle):
    return lambda everything: make_client(Failing(bundle, everything))


def fallbacks(client):
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith("recsys_fallbacks_total{")]


def test_the_base_answers_where_an_adapter_fails(failing, bundle):
    client = failing(everything=False)
    answer = client.post("/v1/recommend", json={"history": ["k0"], "segment": "deli", "k": 2}).json()
    assert [item["item_id"] for item in answer["items"]] == [one.item_id for one in bundle.recommend(["k0"], k=2)]
    assert "the adapter failed" in answer["fallback"]
    assert fallbacks(client) == ['recsys_fallbacks_total{endpoint="recommend",reason="adapter"} 1.0']


def test_the_popular_items_answer_where_the_base_fails_within_what_was_asked_for(failing, caplog):
    caplog.set_level(logging.ERROR, "recsys.service")
    client = failing(everything=True)
    answer = client.post("/v1/recommend", json={"history": ["k0"], "k": 2}).json()
    assert answer["items"][0]["item_id"] == "t0" and answer["items"][0]["reasons"] and "the model failed" in answer["fallback"]
    limited = client.post("/v1/recommend", json={"filters": {"category": "Deli"}, "candidates": ["d1", "t0"]}).json()
    assert [item["item_id"] for item in limited["items"]] == ["d1"]
    assert 'recsys_fallbacks_total{endpoint="recommend",reason="base"} 2.0' in fallbacks(client)
    assert "planted" in caplog.text


def test_sessions_that_fail_cost_the_session_only(client, monkeypatch):
    monkeypatch.setattr("recsys_core.collection.sessions.SqliteSessions.newest", lambda *_: 1 / 0)
    answer = client.post("/v1/recommend", json={"user_id": "ann", "k": 1}).json()
    assert answer["items"][0]["item_id"] == "t0" and "could not be read" in answer["fallback"]


def test_a_log_that_fails_refuses_events_but_no_list(client, tmp_path):
    (tmp_path / "collected" / "events").write_text("in the way")
    (tmp_path / "collected" / "exposures").write_text("in the way")
    told = client.post("/v1/events", json={"events": [{"user_id": "a", "event_type": "click", "item_id": "k0"}]})
    assert told.status_code == 503 and "cannot be written" in told.json()["error"]["culprit"]
    assert client.post("/v1/recommend", json={"user_id": "a"}).status_code == 200
    assert fallbacks(client) == ['recsys_fallbacks_total{endpoint="recommend",reason="exposure_lost"} 1.0']


def test_a_fault_tells_strangers_nothing(make_client, bundle, monkeypatch):
    client = make_client(Failing(bundle, True))
    monkeypatch.setattr("recsys_core.service.answering.understand", lambda *_, **__: 1 / 0)
    answer = client.post("/v1/recommend", json={})
    assert answer.status_code == 500 and answer.json()["error"]["culprit"] == "an internal fault"
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_a_redis_that_does_not_answer_costs_the_session_only(make_client):
    client = make_client(redis="redis://127.0.0.1:1/0")
    told = client.post("/v1/events", json={"events": [{"user_id": "a", "event_type": "click", "item_id": "k0"}]})
    answer = client.post("/v1/recommend", json={"user_id": "a", "k": 1}).json()
    assert told.json()["accepted"] == 1 and answer["items"][0]["item_id"] == "t0" and "could not be read" in answer["fallback"]
