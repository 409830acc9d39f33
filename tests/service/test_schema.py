"""Requests that schemathesis makes up from the OpenAPI document: whatever they say, the service has no fault of its own."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from recsys_core.service.bodies import ErrorAnswer


@pytest.fixture
def schema(make_client):
    app = make_client(requests_per_s=0).app
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})


def test_no_request_is_a_fault_of_the_service(schema):
    asked = set()

    def ask(case):
        answer = case.call(headers={"Host": "localhost"})
        case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance, content_type_conformance])
        if answer.status_code >= 400:
            ErrorAnswer.model_validate_json(answer.text)
        asked.add(case.path)

    operations = [one.ok() for one in schema.get_all_operations()]
    for operation in operations:
        settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)(
            given(operation.as_strategy())(ask))()
    assert asked == {operation.path for operation in operations} and len(asked) >= 10


def test_every_example_of_the_document_is_answered(client):
    document = client.get("/openapi.json").json()
    asked = 0
    for path, methods in document["paths"].items():
        for method, endpoint in methods.items():
            if "requestBody" not in endpoint:
                continue
            reference = endpoint["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            examples = document["components"]["schemas"][reference.rpartition("/")[2]]["examples"]
            assert examples, path
            for example in examples:
                answer = client.request(method, path, json=example)
                assert answer.status_code == 200 or path == "/v1/similar", (path, answer.text)  # of an item that nobody knows
                asked += 1
    assert asked >= 5


def test_ids_may_be_any_text_and_any_number(client):
    for odd in ("\ud800", "a\x00b", "ß\u202e", "7", 7, 10**30, -1):
        said = json.dumps({"events": [{"user_id": odd, "event_type": "click", "item_id": odd}]})
        told = client.post("/v1/events", content=said, headers={"content-type": "application/json"})
        asked = client.post("/v1/recommend", content=json.dumps({"user_id": odd, "k": 1}),
                            headers={"content-type": "application/json"})
        assert told.status_code in (200, 422) and asked.status_code == told.status_code, (odd, told.text, asked.text)
