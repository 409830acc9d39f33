from collections import Counter

import numpy as np
import pytest

from recsys_core.experiments import interleave

LISTS = [(["x", "y", "z"], ["x", "z", "w"]), (["a", "b", "c"], ["c", "b", "a"]), (["a", "b"], ["p", "q"]),
         (["a"], ["b", "c", "d"])]


@pytest.mark.parametrize(("a", "b"), LISTS)
def test_propensities_are_the_frequencies_of_many_draws(a, b):
    rng, seen, said = np.random.default_rng(1), Counter(), {}
    for _ in range(4000):
        drawn = interleave(a, b, 4, rng)
        seen.update(enumerate(drawn.item_ids))
        said |= dict(zip(enumerate(drawn.item_ids), drawn.propensities, strict=True))
    assert max(abs(seen[key] / 4000 - said[key]) for key in said) < 0.03


def test_no_item_twice_and_no_team_ahead_by_more_than_one():
    rng = np.random.default_rng(2)
    items = [f"i{n}" for n in range(30)]
    for _ in range(200):
        drawn = interleave(rng.permutation(items).tolist(), rng.permutation(items).tolist(), 9, rng)
        lead = np.cumsum([1 if team == "a" else -1 for team in drawn.teams])
        assert len(set(drawn.item_ids)) == 9 and np.abs(lead).max() <= 1


def test_neither_team_gains_when_clicks_are_blind():
    rng, votes = np.random.default_rng(3), Counter()
    for _ in range(4000):
        drawn = interleave(["x", "y", "z", "v"], ["x", "w", "y", "q"], 3, rng)
        votes[drawn.teams[0]] += 1  # everybody clicks what is first
    assert abs(votes["a"] - votes["b"]) < 200


def test_same_lists_give_that_list():
    drawn = interleave(["x", "y", "z"], ["x", "y", "z"], 10, np.random.default_rng(0))
    assert drawn.item_ids == ("x", "y", "z") and drawn.propensities == (1.0, 1.0, 1.0)


def test_empty_lists_give_an_empty_list():
    assert interleave([], [], 5, np.random.default_rng(0)).item_ids == ()


def test_hundred_places_are_drawn_in_no_time():
    rng = np.random.default_rng(4)
    items = [f"i{n}" for n in range(200)]
    drawn = interleave(items, rng.permutation(items).tolist(), 100, rng)
    assert len(drawn.item_ids) == 100 and all(0 < one <= 1 for one in drawn.propensities)
