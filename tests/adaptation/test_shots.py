"""Which events become shots: never too many of one user, never outside the window, always the same ones."""

import math

import numpy as np
import pytest

from recsys_core.adaptation.shots import ShotConfig, draw_shots, is_support_user, shots_from_rows
from recsys_core.base_model.data import Interactions
from tests.adaptation.planted import DAY, make_events

TASTE = np.full(50, 1 / 50)
START, END = 2 * DAY, 6 * DAY


@pytest.fixture(scope="module")
def events() -> Interactions:
    """40 users, an event on each of 8 days; user 0 alone has 60 more inside the window."""
    plain = make_events(TASTE)
    extra = make_events(TASTE, seed=1, users=1, steps=60)
    joined = {name: np.r_[getattr(plain, name), getattr(extra, name)] for name in ("user", "item", "event_type")}
    timestamp = np.r_[plain.timestamp, START + 60 * np.arange(1, 61)]
    order = np.lexsort((joined["item"], timestamp, joined["user"]))
    return Interactions(joined["user"][order], joined["item"][order], timestamp[order], joined["event_type"][order],
                        np.arange(len(order)), plain.user_ids)


def draw(events, seed=0, member=None, users=None, **config):
    member = np.ones(len(events), bool) if member is None else member
    return draw_shots(events, START, END, member, ShotConfig(**config), np.random.default_rng(seed), users)


@pytest.mark.parametrize("k", [1, 2, 8, 20, 64])
def test_no_user_gives_more_than_an_eighth(events, k):
    shots = draw(events, k=k)
    assert len(shots) == k
    assert np.bincount(shots.users).max() <= math.ceil(k / 8)


def test_a_lone_heavy_shopper_cannot_fill_the_support_set(events):
    assert len(draw(events, k=32, users=np.arange(40) == 0)) == 4


def test_shots_lie_strictly_inside_the_window_and_the_segment(events):
    member = events.item % 2 == 0
    shots = draw(events, k=500, member=member)
    inside = member & (events.timestamp >= START) & (events.timestamp < END)
    assert set(shots.rows) <= set(events.row[inside])
    assert len(shots) == min(np.bincount(events.user[inside]).clip(max=63).sum(), 500)
    assert (shots.queries.timestamp == events.timestamp[shots.rows]).all()


def test_the_same_seed_draws_the_same_rows(events):
    rows = [draw(events, seed=seed, k=16).rows.tolist() for seed in (5, 5, 6)]
    assert rows[0] == rows[1] != rows[2]


def test_each_shot_is_one_label_with_the_history_before_it(events):
    shots = draw(events, k=64)
    assert np.diff(shots.queries.target_indptr).tolist() == [1] * 64
    assert shots.queries.targets.tolist() == shots.items.tolist() == events.item[shots.rows].tolist()
    for at, row in enumerate(shots.rows):
        before = (events.user == events.user[row]) & (events.timestamp < events.timestamp[row])
        held = slice(*shots.queries.histories.indptr[at:at + 2])
        assert sorted(shots.queries.histories.items[held]) == sorted(events.item[before])


def test_items_of_one_basket_are_shots_of_their_own(events):
    basket = Interactions(np.zeros(3, np.int32), np.array([7, 1, 2], np.int32), np.array([0, DAY, DAY]),
                          np.zeros(3, np.int8), np.array([4, 9, 2]), ["u"])
    shots = shots_from_rows(basket, np.array([1, 2]))
    assert shots.items.tolist() == [1, 2] and shots.rows.tolist() == [9, 2]
    assert shots.queries.histories.items.tolist() == [7, 7]


def test_nobody_in_the_window_gives_no_shots(events):
    assert len(draw(events, member=np.zeros(len(events), bool))) == 0
    assert len(draw(events, users=np.zeros(40, bool))) == 0


def test_a_users_side_never_depends_on_other_users():
    ids = [f"user-{n}" for n in range(4000)]
    whole = is_support_user(ids, 0.4)
    assert abs(whole.mean() - 0.4) < 0.03
    assert (is_support_user(ids[::-7], 0.4) == whole[::-7]).all()
    assert (whole <= is_support_user(ids, 0.6)).all()  # a larger share only adds users
    assert (is_support_user(ids, 0.4, 1) != whole).any()
