import numpy as np
import pytest

from recsys_core.retrieval.fusion import Lists, Searched, fit_weights, list_ndcg, make_lists, some_lists
from recsys_core.retrieval.search import SearchConfig
from tests.retrieval.test_lexical import index_of


def planted(words: float, text: float, queries: int = 400) -> Lists:
    """Answers drawn from the softmax of known weights."""
    rng = np.random.default_rng(0)
    parts = np.c_[rng.normal(size=(queries * 5, 2)), np.zeros(queries * 5)]
    scores = (parts[:, :2] @ [text, words]).reshape(queries, 5) + rng.gumbel(size=(queries, 5))
    gains = (np.arange(5) == scores.argmax(1)[:, None]).ravel().astype(float)
    return Lists(parts, np.arange(0, queries * 5 + 1, 5), gains)


def test_planted_weights_are_found_and_what_no_list_tells_stays():
    start = SearchConfig(text=2, words=2, popularity=0.7)
    found = fit_weights(planted(words=3, text=1), start)
    assert found.words == pytest.approx(3, rel=0.2) and found.text == pytest.approx(1, rel=0.25) and found.popularity == 0.7
    assert found.taste == start.taste


def test_few_lists_move_little_and_none_moves_nothing():
    lists, start = planted(words=3, text=1), SearchConfig(text=2, words=2)
    few, many = (fit_weights(some_lists(lists, np.arange(count)), start) for count in (4, 400))
    assert abs(few.words - 2) < abs(many.words - 2)
    nothing = fit_weights(some_lists(lists, np.arange(0)), start)
    assert nothing == start
    silent = Lists(lists.parts, lists.starts, np.zeros_like(lists.gains))
    assert fit_weights(silent, start).words == pytest.approx(2) and not list_ndcg(silent, start).any()


def test_a_part_that_misleads_falls_to_nothing_and_never_below():
    lists = planted(words=3, text=-2)
    assert fit_weights(lists, SearchConfig(text=1, words=1)).text == 0


def test_lists_hold_the_graded_documents_and_others():
    index = index_of(["red mug", "blue mug", "red bowl", "tea"])
    searched = Searched(np.zeros((4, 2), np.float32), None, index, np.zeros(4, np.float32))
    lists = make_lists({"red mug": {3: 1.0}}, searched, np.random.default_rng(0))
    assert lists.gains.tolist() == [1, 0, 0, 0] and lists.parts[0, 1] == 0 and lists.parts[1:, 1].max() > 0


def test_ndcg_of_a_list_by_hand():
    parts = np.zeros((3, 3))
    parts[:, 1] = [0.1, 0.9, 0.5]
    lists = Lists(parts, np.array([0, 3]), np.array([1.0, 0.1, 0.0]))
    assert list_ndcg(lists, SearchConfig()) == pytest.approx((0.1 + 1 / np.log2(4)) / (1 + 0.1 / np.log2(3)))
    tied = Lists(np.zeros((2, 3)), np.array([0, 2]), np.array([1.0, 0]))
    assert list_ndcg(tied, SearchConfig()) == pytest.approx(1 / np.log2(3))
