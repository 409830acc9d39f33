"""Who may ask what, how much and how often; what every answer carries."""

import asyncio
import json
import logging
import time

import pytest

from recsys_core.errors import RecsysError
from recsys_core.service.keys import new_key, read_keys
from recsys_core.service.limits import TokenBuckets

READS = [("/v1/recommend", {"k": 1}), ("/v1/search", {"query": "mug"}), ("/v1/click-probability", {"items": ["k0"]}),
         ("/v1/adapt", {"support": []}), ("/v1/similar", {"item_id": "k0"}), ("/v1/profile", {"history": ["k0"]}),
         ("/v1/suggest", {"prefix": "m"}), ("/v1/facets", {"query": "mug", "columns": ["brand"]}),
         ("/v1/classify", {"task": "intent", "texts": ["a"]}), ("/v1/intent", {"text": "a"}),
         ("/v1/attributes", {"texts": ["a"]}), ("/v1/match", {"query": "mug", "texts": ["a"]}),
         ("/v1/describe", {"item_id": "k0"}), ("/v1/assist", {"message": "mug"})]
WRITES = [("/v1/events", {"events": [{"user_id": "a", "event_type": "click", "item_id": "k0"}]}),
          ("/v1/feedback", {"request_id": "r", "user_id": "a", "item_id": "k0", "value": "up"}),
          ("/v1/items", {"items": [{"item_id": "k9", "title": "Ceramic sieve"}]})]
LOOKS = ["/v1/shop"]  # asked by GET
OPEN = ["/healthz", "/readyz", "/metrics", "/openapi.json"]


@pytest.fixture
def keyed(make_client):
    """A client that knows three keys, and the keys by name."""
    made = {name: new_key(name, [name]) for name in ("read", "write", "admin")}
    return make_client(keys=read_keys("\n".join(line for _, line in made.values()), "test")), {
        name: key for name, (key, _) in made.items()}


def test_every_endpoint_is_in_the_matrix(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) | {"/openapi.json"} == {path for path, _ in READS + WRITES} | set(LOOKS) | set(OPEN)


@pytest.mark.parametrize("holder", ["nobody", "stranger", "read", "write", "admin"])
def test_the_authorisation_matrix(keyed, holder):
    client, keys = keyed
    headers = {} if holder == "nobody" else {"Authorization": f"Bearer {keys.get(holder, 'guess')}"}
    for asked, scope in ((READS, "read"), (WRITES, "write")):
        for path, body in asked:
            wanted = 401 if holder in ("nobody", "stranger") else 200 if holder in (scope, "admin") else 403
            assert client.post(path, json=body, headers=headers).status_code == wanted, path
    for path in OPEN:
        assert client.get(path, headers=headers).status_code == 200
    for path in LOOKS:
        wanted = 401 if holder in ("nobody", "stranger") else 200 if holder in ("read", "admin") else 403
        assert client.get(path, headers=headers).status_code == wanted, path
    nowhere = {"nobody": 401, "stranger": 401, "write": 403}.get(holder, 404)
    assert client.post("/v1/nowhere", headers=headers).status_code == nowhere


def test_a_key_may_come_in_its_own_header(keyed):
    client, keys = keyed
    assert client.post("/v1/recommend", json={}, headers={"X-API-Key": keys["read"]}).status_code == 200


def test_without_keys_only_this_machines_names_are_answered(client):
    assert client.post("/v1/recommend", json={}, headers={"Host": "shop.example"}).status_code == 403
    assert client.post("/v1/recommend", json={}, headers={"Host": "127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize("line", ["a:b:read", f"a:{'0' * 64}:root", f"a:{'0' * 64}:", f":{'0' * 64}:read",
                                  f"a:{'0' * 64}:read\na:{'1' * 64}:read"])
def test_a_keys_file_that_says_something_else_is_refused(line):
    with pytest.raises(RecsysError, match=r"keys\.txt"):
        read_keys(line, "keys.txt")


def test_a_body_that_is_too_large_is_refused_however_it_comes(make_client):
    client = make_client(max_body=1000)
    assert client.post("/v1/search", json={"query": "m" * 2000}).status_code == 413
    parts = (b"x" * 400 for _ in range(5))
    answer = client.post("/v1/search", content=parts, headers={"content-type": "application/json"})
    assert answer.status_code == 413 and answer.json()["error"]["fix"]


def test_odd_queries_are_refused_or_answered_and_never_a_fault(client):
    wanted = {"": 422, "  \t": 422, "m" * 10**7: 413, "m" * 513: 422, "🎁": 200, "كوب \u202bמתנה\u202c": 200, "mug\0": 200}
    for query, code in wanted.items():
        answer = client.post("/v1/search", json={"query": query, "k": 2})
        assert answer.status_code == code, (query[:20], answer.text[:200])
        assert len(answer.json()["items"]) == 2 if code == 200 else answer.json()["error"]["fix"]


def test_too_many_requests_are_told_when_to_come_again(make_client):
    client = make_client(requests_per_s=0.5, burst=2)
    answers = [client.post("/v1/recommend", json={}) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429] and answers[2].headers["retry-after"] == "2"
    assert client.get("/healthz").status_code == 200


def test_a_bucket_fills_at_its_rate():
    now = [100.0]
    buckets = TokenBuckets(rate=2.0, burst=3, clock=lambda: now[0])
    assert [buckets.wait("a") for _ in range(4)] == [0, 0, 0, 0.5] and buckets.wait("b") == 0
    now[0] += 1.0
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 0.5]


def test_a_request_id_is_kept_where_it_is_harmless(client):
    assert client.get("/healthz", headers={"X-Request-ID": "web-17.a_b"}).headers["x-request-id"] == "web-17.a_b"
    for given in ("a b", "x" * 200, '{"a":1}'):
        assert client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] != given


def test_answers_carry_what_keeps_browsers_safe(client):
    headers = client.post("/v1/recommend", json={}).headers
    assert headers["x-content-type-options"] == "nosniff" and "default-src 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and "access-control-allow-origin" not in headers


def test_the_log_names_no_shopper_and_no_query(client, caplog):
    caplog.set_level(logging.INFO, "recsys.service")
    client.post("/v1/search", json={"query": "mug for ann@x.org", "user_id": "carla"})
    [said] = [record.fields for record in caplog.records if record.getMessage() == "request"]
    assert said["status"] == 200 and len(said["user"]) == 16
    assert "carla" not in json.dumps(said) and "ann" not in json.dumps(said)


def test_a_request_that_takes_too_long_is_told_so(make_client):
    client = make_client(time_limit_s=0.05)

    async def slow(scope, receive, send):
        await asyncio.sleep(5)

    client.app.app = slow
    began = time.monotonic()
    answer = client.post("/v1/recommend", json={})
    assert answer.status_code == 504 and time.monotonic() - began < 3 and "0.05 s" in answer.json()["error"]["culprit"]
