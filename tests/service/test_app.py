"""What the endpoints answer, over the tiny bundle: `k0` calls for `g0`, `t0` is the most popular item."""

import json

import pytest

from recsys_core.answering import Rules
from recsys_core.service.bodies import ListAnswer


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def test_a_list_is_the_bundles(client, bundle):
    answer = client.post("/v1/recommend", json={"history": ["k0"], "k": 3})
    asked = bundle.recommend(["k0"], k=3)
    assert ids(answer) == [one.item_id for one in asked]
    assert [item["score"] for item in answer.json()["items"]] == [one.score for one in asked]
    ListAnswer.model_validate(answer.json())


def test_a_search_is_the_bundles(client):
    assert ids(client.post("/v1/search", json={"query": "glass teapot", "k": 2})) == ["k2", "k1"]


def test_click_probabilities_are_the_bundles(client, bundle):
    answer = client.post("/v1/click-probability", json={"items": ["g0", "k1"], "history": ["k0"]})
    assert answer.json()["probabilities"] == bundle.click_probability(["g0", "k1"], history=["k0"])


def test_posted_events_change_the_next_list_at_once(client):
    before = ids(client.post("/v1/recommend", json={"user_id": "carla", "k": 1}))
    told = client.post("/v1/events", json={"events": [{"user_id": "carla", "event_type": "purchase", "item_id": "k0"}]})
    assert told.json()["accepted"] == 1
    assert before == ["t0"] and ids(client.post("/v1/recommend", json={"user_id": "carla", "k": 1})) == ["g0"]
    assert ids(client.post("/v1/recommend", json={"user_id": "dora", "k": 1})) == ["t0"]


def test_impressions_and_searches_are_logged_but_are_no_history(client, tmp_path):
    client.post("/v1/events", json={"events": [
        {"user_id": "carla", "event_type": "impression", "item_id": "k0", "position": 1, "propensity": 0.5},
        {"user_id": "carla", "event_type": "search", "query": "call +44 20 7946 0958"}]})
    assert ids(client.post("/v1/recommend", json={"user_id": "carla", "k": 1})) == ["t0"]
    [day] = (tmp_path / "collected" / "events").glob("*.jsonl")
    shown, searched = [json.loads(line) for line in day.read_text().splitlines()]
    assert (shown["position"], shown["propensity"], shown["source"]) == (1, 0.5, "service")
    assert searched["query"] == "call [phone]"


def test_what_a_known_shopper_was_shown_is_logged(client, tmp_path):
    client.post("/v1/recommend", json={"history": ["k0"]})
    answer = client.post("/v1/search", json={"query": "mug for ann@x.org", "user_id": "carla", "k": 2}).json()
    [day] = (tmp_path / "collected" / "exposures").glob("*.jsonl")
    [row] = [json.loads(line) for line in day.read_text().splitlines()]
    assert (row["request_id"], row["user_id"], row["query"]) == (answer["request_id"], "carla", "mug for [email]")
    assert [(one["item_id"], one["position"]) for one in row["items"]] == [
        (item["item_id"], place) for place, item in enumerate(answer["items"], 1)]
    assert {one["propensity"] for one in row["items"]} == {1.0}


def test_an_item_that_makes_no_sense_is_refused(client, tmp_path):
    for item, why in (({"title": "no id"}, "item_id"), ({"item_id": "z", "colour": "red"}, "colour"),
                      ({"item_id": "z", "price": "cheap"}, "no number")):
        answer = client.post("/v1/items", json={"items": [item]})
        assert answer.status_code == 422 and why in " ".join(answer.json()["error"].values())
    assert not (tmp_path / "collected" / "items.json").exists()


def test_an_adapter_is_named_by_its_id(client):
    made = client.post("/v1/adapt", json={"support": [{"item_id": "d1"}] * 4}).json()
    assert ids(client.post("/v1/recommend", json={"adapter": made["adapter"], "k": 1}))[0].startswith("d")
    lost = client.post("/v1/recommend", json={"adapter": "gone"})
    assert lost.status_code == 422 and "unknown" in lost.json()["error"]["culprit"]


@pytest.mark.parametrize(("path", "body", "where"), [
    ("/v1/recommend", {"k": 0}, "k"),
    ("/v1/recommend", {"kk": 1}, "kk"),
    ("/v1/recommend", {"at": "yesterday"}, "request"),
    ("/v1/recommend", {"filters": {"colour": "red"}}, "filters"),
    ("/v1/search", {}, "query"),
    ("/v1/search", {"query": " "}, "query"),
    ("/v1/events", {"events": [{"user_id": "a", "event_type": "search"}]}, "events.0"),
    ("/v1/events", {"events": [{"user_id": "a", "event_type": "click", "item_id": "k0", "timestamp": "2999-01-01"}]}, "events"),
])
def test_a_request_that_makes_no_sense_is_told_where(client, path, body, where):
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 422 and where in error["artefact"] + error["culprit"], error
    assert error["request_id"] == answer.headers["x-request-id"] and error["fix"]


def test_other_errors_have_the_same_form(client):
    for answer, status in ((client.get("/nowhere"), 404), (client.get("/v1/recommend"), 405),
                           (client.post("/v1/recommend", content="{", headers={"content-type": "application/json"}), 422)):
        assert answer.status_code == status and set(answer.json()["error"]) == {"artefact", "culprit", "fix", "request_id"}


def test_health_readiness_and_metrics(make_client):
    client = make_client()
    client.post("/v1/recommend", json={"history": ["k0"]})
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["items"] == 20
    text = client.get("/metrics").text
    assert 'recsys_requests_total{endpoint="/v1/recommend",status="200"} 1.0' in text
    assert 'recsys_answers_total{endpoint="recommend",segment="base"} 1.0' in text
    ends = make_client(draining=lambda: True)
    assert ends.get("/readyz").status_code == 503
    assert ends.get("/healthz").headers["connection"] == "close"


def test_an_explained_list_says_why(client, bundle):
    [item] = client.post("/v1/recommend", json={"history": ["k0"], "k": 1, "explain": True}).json()["items"]
    [asked] = bundle.recommend(["k0"], k=1, explain=True)
    assert item["sentence"] == asked.sentence and item["sentence"]
    assert sum(one["value"] for one in item["contributions"]) == pytest.approx(item["score"], abs=1e-4)
    assert client.post("/v1/recommend", json={"history": ["k0"], "k": 1}).json()["items"][0]["sentence"] is None


def test_similar_items_and_an_unknown_one(client, bundle):
    assert ids(client.post("/v1/similar", json={"item_id": "k0", "k": 2})) == [one.item_id for one in bundle.similar("k0", 2)]
    twins = client.post("/v1/similar", json={"item_id": "k1", "relation": "duplicate"})
    assert ids(twins) == ["k2"] and twins.json()["items"][0]["relation"] == "duplicate"
    assert client.post("/v1/similar", json={"item_id": "k1", "relation": "twin"}).status_code == 422
    unknown = client.post("/v1/similar", json={"item_id": "gone"})
    assert unknown.status_code == 404 and "'gone' is unknown" in unknown.json()["error"]["culprit"]


def test_completions_and_facets_are_those_of_the_bundle(client, bundle):
    assert client.post("/v1/suggest", json={"prefix": "tea", "k": 2}).json()["phrases"] == bundle.suggest("tea", 2)
    asked = {"query": "glass teapot", "columns": ["department"], "filters": {"price": {"max": 1}}}
    assert client.post("/v1/facets", json=asked).json()["facets"] == {"department": [{"value": "Kitchen", "count": 1}]}
    assert client.post("/v1/facets", json={**asked, "columns": ["colour"]}).status_code == 422


def test_a_profile_of_a_history_and_of_what_was_just_done(client, bundle):
    answer = client.post("/v1/profile", json={"history": ["k0", "d1"]}).json()
    assert answer["profile"] == bundle.profile(["k0", "d1"])
    client.post("/v1/events", json={"events": [{"user_id": "carla", "event_type": "purchase", "item_id": "d1"}]})
    assert client.post("/v1/profile", json={"user_id": "carla"}).json()["profile"]["categories"][0]["value"] == "Deli"


def test_a_thumb_down_keeps_an_item_out_until_it_is_taken(client, tmp_path):
    def list_of(user):
        return ids(client.post("/v1/recommend", json={"user_id": user, "k": 3}))

    before = list_of("carla")
    thumb = {"request_id": "r1", "user_id": "carla", "item_id": before[0]}
    assert client.post("/v1/feedback", json={**thumb, "value": "down"}).json()["accepted"] == 1
    after = list_of("carla")
    assert len(after) == 3 and before[0] not in after and list_of("dora") == before
    client.post("/v1/feedback", json={**thumb, "value": "up"})
    assert before[0] in ids(client.post("/v1/recommend", json={"user_id": "carla", "k": 20}))
    [day] = (tmp_path / "collected" / "events").glob("*.jsonl")
    assert [json.loads(line)["event_type"] for line in day.read_text().splitlines()] == ["thumbs_down", "rating"]


def test_rules_hold_for_every_list(make_client):
    client = make_client(rules=Rules(must_not=[{"name": "no-toys", "filters": {"category": "Toys"}}]))
    assert not any(item.startswith("t") for item in ids(client.post("/v1/recommend", json={"k": 20})))


def test_a_user_id_alone_brings_what_the_bundle_and_the_session_know(client, bundle):
    known = bundle.known_history("u00")
    assert ids(client.post("/v1/recommend", json={"user_id": "u00", "k": 5})) == [
        one.item_id for one in bundle.recommend(known, k=5)]
    stale = {"user_id": "u00", "event_type": "purchase", "item_id": "d2", "timestamp": known[0]["timestamp"]}
    fresh = {"user_id": "u00", "event_type": "purchase", "item_id": "d1"}
    assert client.post("/v1/events", json={"events": [stale, fresh]}).json()["accepted"] == 2
    answer = client.post("/v1/recommend", json={"user_id": "u00", "k": 5}).json()
    with_click = bundle.recommend([*known, {"item_id": "d1", "event_type": "purchase", "timestamp": 1e10}], k=5)
    assert [item["item_id"] for item in answer["items"]] == [one.item_id for one in with_click] and answer["fallback"] is None
