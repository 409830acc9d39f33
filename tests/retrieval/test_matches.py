"""The bounded search answers as one that scores every item; what is planted lies where a bound could lose it."""

import numpy as np
import pytest

from recsys_core.metrics import tie_ranks, top_rows
from recsys_core.retrieval import Grouping, Standing, best_items


def world(seed: int, items: int = 600, texts: int = 90):
    rng = np.random.default_rng(seed)
    document_of_item = rng.integers(0, texts - 10, items).astype(np.int32)  # the last ten texts have no items
    scores = np.round(rng.normal(size=texts), 1).astype(np.float32)  # rounded: ties between texts
    standing = np.round(rng.gumbel(size=items), 1).astype(np.float32)
    ties = tie_ranks([f"i{n}" for n in range(items)], rng.integers(0, 5, items))
    return document_of_item, scores, standing, ties, rng


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [None, 0.9, 0.1, 0.005, 0.0])
def test_the_best_by_bounds_are_the_best_of_all(seed, share):
    document_of_item, scores, standing, ties, rng = world(seed)
    allowed = None if share is None else rng.random(len(standing)) < share
    items_of = Grouping(document_of_item, len(scores))
    every = scores[document_of_item] + standing
    if allowed is not None:
        every[~allowed] = -np.inf
    for k in (1, 10, 50, 1000):
        rows, values = best_items(scores, None, Standing.of(standing, items_of), items_of, k, ties, allowed)
        wanted = top_rows(every, k, ties)
        assert rows.tolist() == wanted.tolist() and values.tolist() == every[wanted].tolist()


def test_a_weak_text_with_a_favourite_item_is_found():
    document_of_item = np.r_[np.arange(50), 50].astype(np.int32)
    scores = np.r_[np.linspace(1, 2, 50), 0.0].astype(np.float32)
    standing = np.r_[np.zeros(50), 5.0].astype(np.float32)
    items_of = Grouping(document_of_item, 51)
    rows, values = best_items(scores, None, Standing.of(standing, items_of), items_of, 2, np.arange(51))
    assert rows.tolist() == [50, 49] and values.tolist() == [5.0, 2.0]


def test_only_items_of_the_texts_looked_at_are_answered():
    items_of = Grouping(np.array([2, 0, 2, 1], np.int32), 3)
    standing = Standing.of(np.array([0, 0, 1, 9], np.float32), items_of)
    assert standing.documents.tolist() == [0, 9, 1] and items_of.of(np.array([2, 0])).tolist() == [0, 2, 1]
    rows, _ = best_items(np.array([1, 1], np.float32), np.array([2, 0]), standing, items_of, 5, np.arange(4))
    assert rows.tolist() == [2, 0, 1]
