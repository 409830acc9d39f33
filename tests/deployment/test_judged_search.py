"""Searches judged by hand-made queries, whose right figures are known."""

import numpy as np
import pytest

from recsys_core.deployment.judged_search import judge_search
from recsys_core.retrieval.fusion import Searched
from recsys_core.retrieval.lexical import build_lexical
from recsys_core.retrieval.search import SearchConfig
from tests.serving.tiny import tiny_catalogue

WORDS = SearchConfig(text=0, popularity=0)
CATALOGUE = tiny_catalogue()
LEXICAL = build_lexical(CATALOGUE.items, CATALOGUE.text_of_item)
DOCUMENTS = LEXICAL.documents


def searched(popular: str | None = None) -> Searched:
    popularity = np.zeros(len(DOCUMENTS.texts))
    if popular:
        popularity[row(popular)] = 100.0
    return Searched(CATALOGUE.vectors, None, LEXICAL, popularity)


def row(item: str) -> int:
    return int(DOCUMENTS.of_item[CATALOGUE.row_of[item]])


def judge(asked: dict, config: SearchConfig = WORDS, searches: dict | None = None, popular: str | None = None) -> dict:
    graded = {query: {row(item): gain for item, gain in own.items()} for query, own in asked.items()}
    return judge_search(graded, [config] * len(graded), searched(popular), searches or {}, np.random.default_rng(0))


def means(found: dict) -> dict[str, float]:
    return {name: one["mean"] for name, one in found["metrics"].items()}


def test_the_right_item_on_top_is_all_there_is_to_gain():
    found = judge({"goat cheese": {"d1": 1.0}, "smoked ham": {"d2": 0.1, "d1": 0.0}})["all"]
    assert found["queries"] == 2 and found["nothing"] == 0
    assert means(found) == pytest.approx({"ndcg@10": 1.0, "mrr@10": 1.0, "recall@50": 1.0})


def test_a_right_item_in_the_second_place_counts_by_its_discount():
    pushed = SearchConfig(text=0, words=1, popularity=1)
    found = means(judge({"goat cheese": {"d1": 1.0}}, pushed, popular="k0")["all"])
    assert found == pytest.approx({"ndcg@10": 1 / np.log2(3), "mrr@10": 0.5, "recall@50": 1.0})


def test_gains_are_graded():
    pushed = SearchConfig(text=0, words=1, popularity=1)
    found = means(judge({"goat cheese": {"d1": 0.1, "k0": 1.0}}, pushed, popular="g0")["all"])
    assert 0.1 / np.log2(3) / (1 + 0.1 / np.log2(3)) < found["ndcg@10"] < 0.5  # the better one lies among all that does not fit


def test_a_query_without_any_known_word_is_told_and_ties_are_shared_out():
    found = judge({"qqqqq": {"d1": 1.0}, "goat cheese": {"d1": 1.0}})["all"]
    assert found["nothing"] == 0.5
    places = len(DOCUMENTS.texts)
    assert means(judge({"qqqqq": {"d1": 1.0}})["all"])["mrr@10"] == pytest.approx(sum(1 / np.arange(1, 11)) / places)


def test_each_query_is_answered_with_its_own_weights():
    graded = {query: {row("d1"): 1.0} for query in ("goat cheese", "cheese")}
    lost = SearchConfig(text=0, words=0, popularity=1)
    found = judge_search(graded, [WORDS, lost], searched("k0"), {}, np.random.default_rng(0))["all"]
    assert 0.5 < means(found)["mrr@10"] < 0.6


def test_head_torso_and_tail_go_by_how_often_shoppers_ask():
    asked = {query: {item: 1.0} for query, item in (("goat cheese", "d1"), ("smoked ham", "d2"), ("fig jam", "d4"))}
    found = judge(asked, searches={"goat cheese": 50, "smoked ham": 30, "other": 10, "another": 10})
    assert {name: one["queries"] for name, one in found.items()} == {"all": 3, "head": 1, "torso": 1, "tail": 1}
    assert list(judge(asked)) == ["all"]
