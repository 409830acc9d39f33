import numpy as np

from recsys_core.metrics.top import tie_ranks, top_items, top_rows


def test_ties_follow_popularity_then_a_hash_never_the_id_order():
    ids = [f"item-{n:03d}" for n in range(200)]
    ranks = tie_ranks(ids, np.zeros(200))
    assert sorted(ranks) == list(range(200))
    assert abs(np.corrcoef(ranks, np.arange(200))[0, 1]) < 0.2
    assert (tie_ranks(ids, np.zeros(200)) == ranks).all()
    assert tie_ranks(ids, np.arange(200)).argmin() == 199
    # The same id keeps its place relative to others whatever else is in the catalogue.
    fewer = tie_ranks(ids[::2], np.zeros(100))
    assert (np.argsort(fewer) == np.argsort(ranks[::2])).all()


def test_top_rows_equals_a_full_sort():
    rng = np.random.default_rng(0)
    for n in (1, 5, 300):
        scores = rng.integers(0, 6, n).astype(np.float32)
        scores[rng.random(n) < 0.2] = -np.inf
        ties = rng.permutation(n).astype(np.int32)
        full = [row for row in np.lexsort((ties, -scores)) if np.isfinite(scores[row])]
        for k in (1, 3, n, n + 5):
            assert top_rows(scores, k, ties).tolist() == full[:k]


def test_nothing_to_rank():
    assert top_rows(np.full(3, -np.inf, np.float32), 2, np.arange(3)).tolist() == []


def test_lists_of_many_are_those_of_each():
    ties = np.array([1, 0, 2], np.int32)
    top = top_items(np.array([[0.5, -np.inf, 0.9], [0.1, 0.1, 0.3]], np.float32), 2, ties)
    assert top.tolist() == [[2, 0], [2, 1]] and top.dtype == np.int32
