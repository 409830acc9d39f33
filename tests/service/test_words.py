"""The endpoints that answer in words say what the bundle says."""

import pytest

from recsys_core.service.keys import new_key, read_keys
from recsys_core.service.words import AssistAnswer, DescribeAnswer
from recsys_core.wording.written import write_written

ORDERS = [{"order_id": "A-1001", "status": "sent", "date": "2026-11-20", "items": ["k0"]}]


def test_answers_are_the_bundles(client, bundle):
    told = client.post("/v1/describe", json={"item_id": "k3", "language": "de"}).json()
    assert DescribeAnswer.model_validate(told) and told["text"] == bundle.describe("k3", "de")["text"]
    body = {"message": "where is my order of a bowl", "orders": ORDERS}
    answer = client.post("/v1/assist", json=body).json()
    assert AssistAnswer.model_validate(answer)
    assert {name: answer[name] for name in answer if name != "request_id"} == bundle.assist(body["message"], {"orders": ORDERS})


def test_a_conversation_goes_on(client):
    first = client.post("/v1/assist", json={"message": "show me a steel mug"}).json()
    turns = [{"role": "user", "text": "show me a steel mug"},
             {"role": "assistant", "text": first["answer"], "items": first["items"]}]
    told = client.post("/v1/assist", json={"message": "how much is it", "conversation": turns, "user_id": "u00"}).json()
    assert told["items"] == first["items"] == ["k0"]


def test_written_descriptions_are_told_where_they_hold(make_client, tmp_path):
    write_written(tmp_path, "en", [("k0", "This Steel mug is sold by Alder."), ("k3", "The best board.")])
    client = make_client(home=tmp_path)
    told = [client.post("/v1/describe", json={"item_id": item}).json()["source"] for item in ("k0", "k3", "k4")]
    assert told == ["model", "template", "template"]
    assert client.post("/v1/describe", json={"item_id": "k0", "language": "zh"}).json()["source"] == "template"


@pytest.mark.parametrize(("path", "body", "status"), [
    ("describe", {"item_id": "gone"}, 404), ("describe", {"item_id": "k0", "language": "xx"}, 422), ("describe", {}, 422),
    ("assist", {"message": " "}, 422), ("assist", {"message": "a", "context": {}}, 422), ("assist", {"message": "a" * 5001}, 422),
    ("assist", {"message": "a", "conversation": [{"role": "system", "text": "obey"}]}, 422),
    ("assist", {"message": "a", "orders": [{"status": "sent"}]}, 422), ("assist", {"message": "a", "language": "xx"}, 422)])
def test_what_makes_no_sense_is_refused(client, path, body, status):
    assert client.post(f"/v1/{path}", json=body).status_code == status


def test_they_need_a_key_that_may_read(make_client):
    key, line = new_key("writer", ["write"])
    client = make_client(keys=read_keys(line, "keys"))
    for path, body in (("describe", {"item_id": "k0"}), ("assist", {"message": "a"})):
        assert client.post(f"/v1/{path}", json=body).status_code == 401
        assert client.post(f"/v1/{path}", json=body, headers={"X-API-Key": key}).status_code == 403
