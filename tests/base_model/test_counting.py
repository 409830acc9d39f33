"""Transitions: hand-counted pairs, pruning against a sort, and what smoothing must carry over."""

import numpy as np
import scipy.sparse as sp

from recsys_core.base_model.counting import (
    count_transitions,
    prune_rows,
    smooth_transitions,
    text_neighbours,
)
from recsys_core.interactions.arrays import Interactions


def events(*rows: tuple[int, int, int]) -> Interactions:
    """Interactions from (user, timestamp, item) rows."""
    user, timestamp, item = (np.array(column) for column in zip(*sorted((u, t, i) for u, t, i in rows),
                                                                strict=True))
    return Interactions(user.astype(np.int32), item.astype(np.int32), timestamp.astype(np.int64),
                        np.zeros(len(user), np.int8), np.arange(len(user)), ["a", "b", "c"])


def test_forward_and_backward_pairs_are_counted_by_hand():
    train = events((0, 10, 0), (0, 20, 1), (0, 30, 2), (1, 10, 0), (1, 20, 1))
    counted = count_transitions(train, 3, window=2, decay=0.5, backward=0.25, shrink=1.0, top_k=3).toarray()
    # Item 0 is held by two steps and followed twice by 1 (gap 1) and once by 2 (gap 2, weight 0.5).
    np.testing.assert_allclose(counted[0], [0, 2 / 3, 0.5 / 3])
    # Item 1: forward to 2 once; backward to 0 twice at 0.25; two steps + 1.
    np.testing.assert_allclose(counted[1], [0.5 / 3, 0, 1 / 3])
    np.testing.assert_allclose(counted[2], [0.25 * 0.5 / 2, 0.25 / 2, 0])


def test_items_of_one_basket_do_not_follow_each_other_nor_do_users_mix():
    train = events((0, 10, 0), (0, 10, 1), (1, 11, 2))
    assert count_transitions(train, 3, window=3, decay=1.0, backward=1.0, shrink=1.0, top_k=3).nnz == 0


def test_no_events_give_an_empty_matrix():
    empty = events((0, 1, 0)).where(np.array([False]))
    assert count_transitions(empty, 4, window=1, decay=1.0, backward=0.0, shrink=1.0, top_k=2).nnz == 0


def test_pruning_equals_a_stable_sort():
    rng = np.random.default_rng(3)
    dense = np.where(rng.random((60, 200)) < 0.4, rng.integers(1, 6, (60, 200)), 0).astype(np.float32)
    pruned = prune_rows(sp.csr_array(dense), 7).toarray()
    for row in range(60):
        best = np.argsort(-dense[row], kind="stable")[:7]
        expected = np.zeros(200, np.float32)
        expected[best] = dense[row, best]
        np.testing.assert_array_equal(pruned[row], expected)


def test_neighbours_are_row_normalised_powers_of_the_cosine():
    vectors = np.array([[1, 0], [0.8, 0.6], [-1, 0]], np.float32)
    found = text_neighbours(vectors, 2, 2.0).toarray()
    np.testing.assert_allclose(found[0], [1 / 1.64, 0.64 / 1.64, 0], rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)


def test_an_item_never_sold_borrows_what_its_text_neighbour_leads_to():
    train = events((0, 10, 0), (0, 20, 2), (1, 10, 0), (1, 20, 2))
    counted = count_transitions(train, 3, window=1, decay=1.0, backward=0.0, shrink=1.0, top_k=3)
    vectors = np.array([[1, 0], [0.98, 0.199], [0, 1]], np.float32)
    smoothed = smooth_transitions(counted, np.bincount(train.item, minlength=3), np.arange(3),
                                  text_neighbours(vectors, 2, 4.0), shrink=1.0, top_k=3).toarray()
    assert counted.toarray()[1].sum() == 0
    assert smoothed[1].argmax() == 2 and smoothed[1, 2] > 0.3
