"""Attribution against numerical integration, and against what is known of planted shops."""

import numpy as np
import pytest

from recsys_core.base_model.attribution import _log_split, _preference_split
from recsys_core.interactions.arrays import Histories
from tests.serving.tiny import TITLES

PATH = (np.arange(4_000) + 0.5) / 4_000


def history(bundle, steps: list[list[str]]) -> Histories:
    """Steps of items, oldest first."""
    items = [bundle.catalogue.row_of[item] for step in steps for item in step]
    ago = np.repeat(np.arange(len(steps))[::-1], [len(step) for step in steps]).astype(np.float32)
    return Histories(np.array([0, len(items)]), np.array(items, np.int32), ago, ago, np.zeros(len(items), np.int8))


def integrated(f, point: np.ndarray) -> np.ndarray:
    """Integrated gradients of f along the straight path from 0, by central differences."""
    size, found = 1e-6, np.zeros(len(point))
    for axis in range(len(point)):
        step = np.eye(len(point))[axis] * size
        found[axis] = np.mean([(f(t * point + step) - f(t * point - step)) / (2 * size) for t in PATH]) * point[axis]
    return found


def test_a_log_of_a_sum_is_split_as_integration_splits_it():
    flow = np.array([0.3, 0.0, 0.05, 0.01])
    found = _log_split(flow[None], 0.02)[0]
    assert found == pytest.approx(integrated(lambda s: np.log1p(s.sum() / 0.02), flow), rel=1e-4)
    assert found.sum() == pytest.approx(np.log1p(0.36 / 0.02), rel=1e-12) and not _log_split(np.zeros((1, 2)), 0.02).any()


def test_a_preference_is_split_as_integration_splits_it():
    weight, past, share = np.array([1.0, 0.9, 0.5, 0.7]), np.array([1, 2, 1, 0]), np.array([0.1, 0.2, 0.7])

    def preference(w: np.ndarray) -> float:
        counted, known = w[[0, 2]].sum(), w[:3].sum()
        return float(np.log((counted + 5 * 0.2) / ((known + 5) * 0.2)))

    found = _preference_split(weight, past, np.array([1, 0]), 5.0, share)
    assert found[0] == pytest.approx(integrated(preference, weight), rel=1e-4, abs=1e-9)
    assert found[0, 1] < 0 == found[0, 3] and not found[1].any()


@pytest.mark.parametrize("steps", [[], [["k0"]], [["k0", "t0"], ["d1"]], [["t0"], ["k0"], ["t0", "k0"], ["g1"], ["t0"]]])
def test_contributions_add_up_to_the_score(bundle, steps):
    ranker, past, rows = bundle.parts.ranker, history(bundle, steps), np.arange(len(TITLES))
    weighed = ranker.weigh(past)
    found = ranker.attribute(past, rows, weighed)
    assert found.history.sum(axis=1) + found.popularity + found.trend == pytest.approx(weighed.score()[0], abs=1e-5)
    assert found.items.tolist() == sorted({bundle.catalogue.row_of[item] for step in steps for item in step})


def test_what_the_history_brings_is_the_difference_to_a_strangers_score(bundle):
    ranker, rows = bundle.parts.ranker, np.arange(len(TITLES))
    past, nobody = history(bundle, [["k0"], ["d1", "t2"]]), history(bundle, [])
    found = ranker.attribute(past, rows, ranker.weigh(past))
    assert found.history.sum(axis=1) == pytest.approx((ranker.score(past) - ranker.score(nobody))[0], abs=1e-5)
    alone = ranker.attribute(nobody, rows, ranker.weigh(nobody))
    assert found.popularity == pytest.approx(alone.popularity) and alone.history.shape == (len(TITLES), 0)


def test_the_planted_predecessor_is_named_and_a_repeat_names_itself(bundle):
    ranker, row_of = bundle.parts.ranker, bundle.catalogue.row_of
    past = history(bundle, [["d3"], ["k0"]])
    found = ranker.attribute(past, np.array([row_of["g0"]]), ranker.weigh(past))
    assert found.items[found.history[0].argmax()] == row_of["k0"]
    new, known = (ranker.weigh(past).explain(np.array([[row_of[item]]]))[0, 0] for item in ("g0", "d3"))
    repeats = [at for at, name in enumerate(ranker.part_names) if name.startswith("repeat")]
    assert not new[repeats].any() and known[repeats].any()
    again = ranker.attribute(past, np.array([row_of["d3"]]), ranker.weigh(past)).history[0]
    other = found.items.tolist().index(row_of["k0"])
    bare = ranker.attribute(history(bundle, [["k0"]]), np.array([row_of["d3"]]), ranker.weigh(history(bundle, [["k0"]])))
    assert abs(again[1 - other]) > abs(known[repeats].sum()) / 2 and abs(again[other] - bare.history[0, 0]) < 1
