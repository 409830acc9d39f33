"""Ranking metrics against every order of the ties, and against hand-computed values."""

import itertools
import math

import numpy as np
import pytest

from recsys_core.errors import DataError
from recsys_core.interactions.arrays import Histories
from recsys_core.metrics.ranking import (
    UNRANKED,
    coverage,
    expected_ranks,
    long_tail,
    metrics_from_ranks,
    novelty,
    ranking_metrics,
    slice_targets,
    split_targets,
)

NAMES = ("ndcg", "recall", "hr", "mrr")


def enumerate_orders(scores: np.ndarray, targets: set[int], k: int) -> dict[str, float]:
    """The mean of each metric over every order that sorts the offered items by score."""
    offered = [item for item in range(len(scores)) if scores[item] > -np.inf]
    blocks = [list(group) for _, group in itertools.groupby(
        sorted(offered, key=lambda item: -scores[item]), key=lambda item: scores[item])]
    totals, orders = dict.fromkeys(NAMES, 0.0), 0
    for parts in itertools.product(*(itertools.permutations(block) for block in blocks)):
        hits = [place for place, item in enumerate(itertools.chain(*parts)) if item in targets and place < k]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(targets))))
        totals["ndcg"] += sum(1 / math.log2(place + 2) for place in hits) / ideal
        totals["recall"] += len(hits) / len(targets)
        totals["hr"] += bool(hits)
        totals["mrr"] += 1 / (hits[0] + 1) if hits else 0.0
        orders += 1
    return {name: total / orders for name, total in totals.items()}


@pytest.mark.parametrize("seed", range(40))
def test_metrics_are_the_mean_over_every_order_of_the_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 1.0, 2.0, -np.inf], (3, 7), p=[0.4, 0.3, 0.15, 0.15]).astype(np.float32)
    targets = [np.sort(rng.choice(7, rng.integers(1, 5), replace=False)) for _ in range(3)]
    indptr = np.r_[0, np.cumsum([len(t) for t in targets])]
    for k in (1, 2, 3, 7, 10):
        found = ranking_metrics(scores, indptr, np.concatenate(targets), k)
        for row in range(3):
            wanted = enumerate_orders(scores[row], set(targets[row].tolist()), k)
            for name in NAMES:
                assert found[f"{name}@{k}"][row] == pytest.approx(wanted[name], abs=1e-12), (name, k, row)


@pytest.mark.parametrize("likely", [3, 20, 1000])
@pytest.mark.parametrize("masked", [False, True])
def test_ranks_to_a_depth_give_the_same_metrics_up_to_it(monkeypatch, likely, masked):
    monkeypatch.setattr("recsys_core.metrics.ranking.LIKELY", likely)
    rng = np.random.default_rng(likely)
    scores = rng.integers(0, 40, (5, 60)).astype(np.float32)  # with ties
    if masked:
        scores[:, rng.permutation(60)[:45]] = -np.inf
    targets = [np.sort(rng.choice(60, rng.integers(1, 6), replace=False)) for _ in range(5)]
    indptr, flat = np.r_[0, np.cumsum([len(t) for t in targets])], np.concatenate(targets)
    exclude = (np.arange(0, 12, 2), rng.integers(0, 60, 10))
    for depth in (1, 4, 10):
        for seen in (None, exclude):
            found = metrics_from_ranks(*expected_ranks(scores, indptr, flat, seen, depth), indptr, depth)
            wanted = ranking_metrics(scores, indptr, flat, depth, seen)
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_constant_ranker_has_the_metrics_of_chance():
    found = ranking_metrics(np.zeros((1, 1000), np.float32), np.array([0, 1]), np.array([0]), k=10)
    assert found["hr@10"][0] == pytest.approx(0.01)
    assert found["recall@10"][0] == pytest.approx(0.01)
    assert found["mrr@10"][0] == pytest.approx(sum(1 / r for r in range(1, 11)) / 1000)


def test_a_perfect_ranking_of_many_targets_has_ndcg_one_and_cut_recall():
    scores = np.arange(20, dtype=np.float32)[None]
    found = ranking_metrics(scores, np.array([0, 15]), np.arange(5, 20), k=10)
    assert found["ndcg@10"][0] == found["hr@10"][0] == found["mrr@10"][0] == 1
    assert found["recall@10"][0] == pytest.approx(10 / 15)


def test_no_id_order_decides_between_equal_scores():
    scores = np.array([[1, 1, 1, 0, 0]], np.float32)
    first, last = (ranking_metrics(scores, np.array([0, 1]), np.array([item]), k=2) for item in (0, 2))
    assert all(first[name] == last[name] for name in first)


def test_excluded_items_leave_the_ranking_and_an_excluded_target_is_a_miss():
    scores = np.array([[9, 8, 7, 6], [9, 8, 7, 6]], np.float32)
    indptr, targets = np.array([0, 1, 2]), np.array([2, 0])
    exclude = (np.array([0, 2, 3]), np.array([0, 1, 0]))
    greater, tied = expected_ranks(scores, indptr, targets, exclude)
    assert greater.tolist() == [0, UNRANKED] and tied.tolist() == [0, 0]
    assert metrics_from_ranks(greater, tied, indptr, 10)["mrr@10"].tolist() == [1, 0]
    assert scores[0, 0] == 9  # the caller's scores are not touched


def test_minus_infinity_is_not_offered_even_if_fewer_than_k_are():
    scores = np.array([[1, -np.inf, -np.inf]], np.float32)
    found = ranking_metrics(scores, np.array([0, 1]), np.array([1]), k=10)
    assert all(value[0] == 0 for value in found.values())


@pytest.mark.parametrize("scores, indptr, targets", [
    ([[1, np.nan]], [0, 1], [0]), ([[1, 2]], [0, 1, 2], [0, 1]), ([[1, 2], [1, 2]], [0, 1, 1], [0])])
def test_scores_that_cannot_be_ranked_are_refused(scores, indptr, targets):
    with pytest.raises(DataError, match=r"ranking (scores|queries)"):
        ranking_metrics(np.array(scores, np.float32), np.array(indptr), np.array(targets))


def test_no_queries_give_empty_metrics():
    found = ranking_metrics(np.zeros((0, 3), np.float32), np.array([0]), np.zeros(0, int))
    assert {name: len(value) for name, value in found.items()} == {f"{name}@10": 0 for name in NAMES}


def test_slices_keep_the_other_targets_as_competitors():
    scores = np.array([[4, 3, 2, 1], [1, 2, 3, 4]], np.float32)
    indptr, targets = np.array([0, 2, 3]), np.array([0, 1, 0])
    past = Histories(np.array([0, 1, 1]), np.array([0], np.int32), *[np.zeros(1)] * 3)
    repeat = split_targets(indptr, targets, past)
    assert repeat.tolist() == [True, False, False]
    greater, tied = expected_ranks(scores, indptr, targets)
    queries, kept = slice_targets(indptr, ~repeat)
    assert queries.tolist() == [0, 1] and kept.tolist() == [0, 1, 2]
    found = metrics_from_ranks(greater[~repeat], tied[~repeat], kept, k=10)
    assert found["mrr@10"].tolist() == [0.5, 0.25]
    assert slice_targets(indptr, np.zeros(3, bool))[0].tolist() == []


def test_an_item_of_another_query_is_no_repeat():
    past = Histories(np.array([0, 1, 2]), np.array([5, 6], np.int32), *[np.zeros(2)] * 3)
    assert split_targets(np.array([0, 1, 2]), np.array([6, 6]), past).tolist() == [False, True]


def test_list_metrics_ignore_padding():
    assert coverage(np.array([[2, -1], [-1, -1]]), 10) == 0.1
    # counts 3, 0, 1 of 4 events over 3 items: p = 4/7, 1/7, 2/7
    bits = novelty(np.array([[0, -1], [1, 2], [-1, -1]]), np.array([3, 0, 1]))
    assert bits == pytest.approx([math.log2(7 / 4), (math.log2(7) + math.log2(7 / 2)) / 2, 0])


def test_the_long_tail_holds_whole_groups():
    assert long_tail(np.arange(10)).tolist() == [True] * 8 + [False] * 2
    assert long_tail(np.array([0, 0, 0, 0, 0, 0, 0, 5, 5, 5])).all()
