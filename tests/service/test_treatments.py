"""Experiments in the answers and in the exposure log."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from recsys_core.artefacts import write_json
from recsys_core.experiments import report_experiment
from recsys_core.experiments.config import ExperimentConfig

WHEN = {"start": "2024-01-01", "end": "2100-01-01"}


def experiment(*variants, **more) -> ExperimentConfig:
    shares = [{"share": 1 / len(variants), **one} for one in variants]
    return ExperimentConfig(name="try", variants=shares, **WHEN, **more)


def exposures(tmp_path):
    [day] = (tmp_path / "collected" / "exposures").glob("*.jsonl")
    return [json.loads(line) for line in day.read_text().splitlines()]


@pytest.fixture
def ask():
    def asked(client, **body):
        answer = client.post("/v1/recommend", json={"k": 3, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return asked


def test_a_variant_takes_the_place_of_the_segment_and_is_logged(make_client, ask, tmp_path):
    client = make_client(experiments=(experiment({"name": "base", "segment": None}, {"name": "deli", "segment": "deli"}),))
    answers = [ask(client, user_id=f"u{n}", segment="deli") for n in range(12)]
    by_variant = {answer["variant"]: {item["segment"] for item in answer["items"]} for answer in answers}
    assert by_variant == {"try:base": {None}, "try:deli": {"deli"}}
    for row, answer in zip(exposures(tmp_path), answers, strict=True):
        assert (row["request_id"], row["experiment"], f"try:{row['variant']}", row["propensity"]) == (
            answer["request_id"], "try", answer["variant"], 0.5)


def test_a_variant_may_be_another_bundle(make_client, ask, bundle):
    from pathlib import Path

    class Other:
        parts, catalogue = bundle.parts, bundle.catalogue

        def recommend(self, history, k, **_):
            return bundle.recommend(["d0"], k=k, candidates=["d1"])

    client = make_client(experiments=(experiment({"name": "now"}, {"name": "next", "bundle": "next"}),),
                         others={Path("next"): Other()})
    found = {answer["variant"]: answer["items"][0]["item_id"] for answer in (ask(client, user_id=f"u{n}") for n in range(12))}
    assert found == {"try:now": "t0", "try:next": "d1"}


def test_an_interleaved_list_says_whose_pick_each_item_is(make_client, ask, tmp_path, bundle):
    client = make_client(experiments=(experiment({"name": "base", "segment": None}, {"name": "deli", "segment": "deli"},
                                                 method="interleave"),))
    answer = ask(client, user_id="ann", k=4)
    [row] = exposures(tmp_path)
    assert answer["variant"] == "try:interleaved"
    assert [one["item_id"] for one in row["items"]] == [item["item_id"] for item in answer["items"]]
    lists = {"a": [one.item_id for one in bundle.recommend([], k=4)],
             "b": [one.item_id for one in bundle.recommend([], k=4, segment="deli")]}
    assert {one["team"] for one in row["items"]} == {"a", "b"}
    assert all(one["item_id"] in lists[one["team"]] and 0 < one["propensity"] <= 1 for one in row["items"])
    again = client.post("/v1/recommend", json={"k": 4, "user_id": "ann"}, headers={"X-Request-ID": answer["request_id"]}).json()
    assert again["items"] == answer["items"]


def test_who_is_unknown_takes_no_part(make_client, ask):
    client = make_client(experiments=(experiment({"name": "base", "segment": None}, {"name": "deli", "segment": "deli"}),))
    assert ask(client)["variant"] is None


def test_an_audience_is_read_from_user_and_context(make_client, ask):
    client = make_client(experiments=(experiment({"name": "a", "segment": None}, {"name": "b", "segment": "deli"},
                                                 audience={"store": ["367"], "region": ["north"]}),))
    assert ask(client, user_id="ann", context={"store": "367"}, user={"region": "north"})["variant"] is not None
    assert ask(client, user_id="ann", context={"store": "367"}, user={"region": "south"})["variant"] is None


@pytest.mark.parametrize("method", ["ab", "interleave"])
def test_what_the_service_logs_is_what_the_report_reads(make_client, ask, tmp_path, method):
    variants = {"name": "base", "segment": None}, {"name": "deli", "segment": "deli"}
    declared = experiment(*variants, method=method, window_hours=1e-6)
    write_json(tmp_path / "experiments.yaml", {"experiments": [declared.model_dump(mode="json", exclude_unset=True)]})
    client = make_client(experiments=(declared,))
    for n in range(40):
        [first, *_] = ask(client, user_id=f"u{n}")["items"]
        click = {"user_id": f"u{n}", "event_type": "click", "item_id": first["item_id"]}
        assert client.post("/v1/events", json={"events": [click]}).status_code == 200
    found = report_experiment(tmp_path, "try", tmp_path / "collected", until=datetime.now(UTC) + timedelta(hours=1))
    users = [row["users"] for row in found.variants]
    assert users == [40, 40] if method == "interleave" else sum(users) == 40 and min(users) > 8
    assert found.crossed == found.pending == 0
