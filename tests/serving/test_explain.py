"""Contributions add up and name the right source; a sentence says no more than they do."""

import pytest

from recsys_core.errors import RequestError
from tests.serving.tiny import tiny_adapter

STORE = {"segment": "store", "context": {"store": "367"}}
ASKED = {
    "nobody": lambda b: b.recommend([], k=20, explain=True),
    "history": lambda b: b.recommend(["k0", "t0", "d1", "k0"], k=20, explain=True),
    "family": lambda b: b.recommend(["k0"], k=20, explain=True, **STORE),
    "adapter": lambda b: b.recommend(["k0"], k=20, explain=True, adapter=tiny_adapter("mine", ["t4"])),
    "query": lambda b: b.search("glass teapot", k=20, explain=True),
    "one word": lambda b: b.search("mug", k=20, explain=True),
    "no known word": lambda b: b.search("zzz qqq", k=20, explain=True),
    "taste": lambda b: b.search("steel mug steel", k=20, history=["t0", "k0"], explain=True, **STORE),
    "many words": lambda b: b.search(" ".join(f"w{n}" for n in range(40)) + " mug", k=20, explain=True),
}


def total(answer, *sources: str) -> float:
    return sum(one["value"] for one in answer.contributions if not sources or one["source"] in sources)


@pytest.mark.parametrize("call", ASKED)
def test_contributions_add_up(bundle, call):
    for answer in ASKED[call](bundle):
        assert total(answer) == pytest.approx(answer.score, abs=1e-5)
        sizes = [abs(one["value"]) for one in answer.contributions]
        assert sizes == sorted(sizes, reverse=True) and min(sizes, default=1) > 0
        assert len({(one["source"], one["name"]) for one in answer.contributions}) == len(answer.contributions)
        assert answer.sentence[0].isupper() and answer.sentence.endswith(".")


def test_nothing_is_explained_that_was_not_asked_for(bundle):
    for answers in (bundle.recommend(["k0"]), bundle.search("mug", history=["k0"], explain=False)):
        assert all(answer.contributions == [] and answer.sentence is None for answer in answers)
    plain, told = bundle.recommend(["k0"], k=20), bundle.recommend(["k0"], k=20, explain=True)
    assert [(a.item_id, a.score, a.reasons) for a in plain] == [(a.item_id, a.score, a.reasons) for a in told]


def test_the_planted_predecessor_is_the_reason(bundle):
    best = {a.item_id: a for a in bundle.recommend(["d3", "k0"], explain=True)}["g0"]
    assert "you bought Steel mug" in best.sentence
    items = {one["name"]: one["value"] for one in best.contributions if one["source"] == "item"}
    assert items["k0"] > 1 and items["k0"] > 3 * abs(items.get("d3", 0.0))
    viewed = bundle.recommend([{"item_id": "k0", "event_type": "view"}], explain=True)[0]
    assert "you viewed Steel mug" in viewed.sentence


def test_a_word_that_names_the_item_brings_most(bundle):
    best = bundle.search("teapot of steel", explain=True, candidates=["k1"])[0]
    words = {one["name"]: one["value"] for one in best.contributions if one["source"] == "word"}
    assert set(words) == {"teapot", "of", "steel"} and words["teapot"] > 2 * max(words["of"], words["steel"])
    assert total(best, "word") == pytest.approx(best.reasons["text"] + best.reasons["words"], abs=1e-5)


def test_segments_and_adapters_are_sources(bundle):
    found = {a.item_id: a for a in bundle.recommend([], k=20, explain=True, **STORE)}["t4"]
    assert {"source": "segment", "name": "store", "value": pytest.approx(3.0)} in found.contributions
    assert "more wanted than elsewhere in store 367" in found.sentence.lower()
    mine = {a.item_id: a for a in bundle.recommend([], k=20, explain=True, adapter=tiny_adapter("mine", ["t4"]))}["t4"]
    assert total(mine, "segment") == pytest.approx(3.0) and mine.sentence.startswith("Close to what was just chosen")


def test_long_histories_name_twenty_items_and_sum_up_the_others(bundle):
    ids = bundle.catalogue.item_ids
    answer = bundle.recommend(ids + ids, explain=True)[0]
    assert sum(one["source"] == "item" for one in answer.contributions) <= 20
    assert total(answer) == pytest.approx(answer.score, abs=1e-5)


def test_the_language_is_the_callers(bundle):
    told = [bundle.recommend(["k0"], k=1, explain=language)[0].sentence for language in (True, "en-GB", "tlh", "de", "zh")]
    assert told[0] == told[1] == told[2] != told[3] != told[4] and "gekauft" in told[3]
    with pytest.raises(RequestError, match="language"):
        bundle.recommend(["k0"], explain=3)
