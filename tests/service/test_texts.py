"""The endpoints that read texts say what the bundle says."""

import pytest

from recsys_core.service.keys import new_key, read_keys
from recsys_core.service.texts import AttributesAnswer, ClassifyAnswer, IntentAnswer, MatchAnswer

ASKED = "where is my order"


def test_answers_are_the_bundles(client, bundle):
    classes = client.post("/v1/classify", json={"task": "intent", "texts": [ASKED, "?"]}).json()
    expected = [[{"label": label, "probability": p} for label, p in one] for one in bundle.classify("intent", [ASKED, "?"])]
    assert ClassifyAnswer.model_validate(classes) and classes["classes"] == expected
    intents = client.post("/v1/intent", json={"text": ASKED}).json()
    assert IntentAnswer.model_validate(intents) and intents["intents"] == expected[0]
    attributes = client.post("/v1/attributes", json={"texts": ["Steel mug"], "category": "Kitchen"}).json()
    assert AttributesAnswer.model_validate(attributes) and attributes["attributes"] == [{"material": "Steel"}]
    grades = client.post("/v1/match", json={"query": "steel mug", "item_ids": ["k0", "d0"]}).json()
    assert MatchAnswer.model_validate(grades) and grades["grades"] == bundle.match("steel mug", ["k0", "d0"])


@pytest.mark.parametrize(("path", "body", "said"), [
    ("classify", {"task": "mood", "texts": ["a"]}, "refused"), ("classify", {"task": "intent", "texts": []}, "texts"),
    ("classify", {"task": "intent", "texts": ["a"] * 101}, "texts"), ("intent", {"text": " "}, "empty"),
    ("intent", {"text": "a" * 5001}, "text"), ("match", {"query": "a"}, "either"),
    ("match", {"query": "a", "item_ids": ["gone"]}, "unknown"),
    ("match", {"query": "a", "item_ids": ["k0"], "texts": ["b"]}, "either")])
def test_what_makes_no_sense_is_422_with_the_reason(client, path, body, said):
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 422 and said in answer.text, answer.text


def test_they_need_a_key_that_may_read(make_client):
    key, line = new_key("writer", ["write"])
    client = make_client(keys=read_keys(line, "keys"))
    for path, body in (("classify", {"task": "intent", "texts": ["a"]}), ("intent", {"text": "a"}),
                       ("attributes", {"texts": ["a"]}), ("match", {"query": "a", "texts": ["b"]})):
        assert client.post(f"/v1/{path}", json=body).status_code == 401
        assert client.post(f"/v1/{path}", json=body, headers={"X-API-Key": key}).status_code == 403
