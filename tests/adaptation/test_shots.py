"""Which events become shots: never too many of one user, never outside the window, always the same ones."""

import math

import numpy as np
import pytest

from recsys_core.adaptation.shots import ShotConfig, chance_in_turns, draw_shots, is_support_user, shots_from_rows
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


def draw(events, seed=0, member=None, users=None, strata=None, **config):
    member = np.ones(len(events), bool) if member is None else member
    return draw_shots(events, START, END, member, ShotConfig(**config), np.random.default_rng(seed), users, strata=strata)


@pytest.mark.parametrize("k", [1, 2, 8, 20, 64])
def test_no_user_gives_more_than_an_eighth(events, k):
    shots = draw(events, k=k)
    assert len(shots) == k
    assert np.bincount(shots.users).max() <= math.ceil(k / 8)


def test_a_lone_heavy_shopper_cannot_fill_the_support_set(events):
    assert len(draw(events, k=32, users=np.arange(40) == 0)) == 4


@pytest.mark.parametrize("strategy", ["random", "recent", "stratified"])
def test_shots_lie_strictly_inside_the_window_and_the_segment(events, strategy):
    member = events.item % 2 == 0
    shots = draw(events, k=500, member=member, strategy=strategy, strata=np.arange(50) % 3)
    inside = member & (events.timestamp >= START) & (events.timestamp < END)
    assert set(shots.rows) <= set(events.row[inside])
    assert len(shots) == min(np.bincount(events.user[inside]).clip(max=63).sum(), 500)
    assert (shots.queries.timestamp == events.timestamp[shots.rows]).all()


def test_recent_takes_the_newest_and_random_does_not(events):
    newest = draw(events, k=16, strategy="recent").queries.timestamp
    assert newest.min() == END - DAY
    assert draw(events, k=16).queries.timestamp.min() < END - DAY


STRATA = (np.arange(50) > 3).astype(int) + (np.arange(50) > 48)  # 4, 45 and 1 items; each as likely as the others


def test_stratified_takes_of_every_category_in_turns(events):
    inside = (events.timestamp >= START) & (events.timestamp < END) & (events.user > 0)  # user 0 would meet the cap
    k, there = 30, np.bincount(STRATA[events.item[inside]])
    took = np.bincount(STRATA[draw(events, member=inside, k=k, strategy="stratified", strata=STRATA).items])
    assert there.min() < k // 3 and all(took >= np.minimum(there, took.max() - 1)) and took.sum() == k
    assert np.bincount(STRATA[draw(events, member=inside, k=k).items])[1] > 2 * k // 3


def test_the_chance_of_a_stratified_shot_is_how_often_it_is_drawn(events):
    inside = (events.timestamp >= START) & (events.timestamp < END) & (events.user > 0)  # user 0 would meet the cap
    drawn = [draw(events, seed, inside, k=40, strategy="stratified", strata=STRATA) for seed in range(200)]
    share = np.bincount(np.concatenate([shots.rows for shots in drawn]), minlength=len(events))[inside] / len(drawn)
    for stratum in range(3):
        rows = STRATA[events.item[inside]] == stratum
        assert share[rows].mean() == pytest.approx(drawn[0].chance[stratum == STRATA][0], abs=0.01)
    assert draw(events, k=40).chance is None
    assert len(draw(events, 0, np.zeros(len(events), bool), k=40, strategy="stratified", strata=STRATA)) == 0


def test_with_more_categories_than_shots_an_unseen_one_is_as_unlikely_as_the_others():
    chance = chance_in_turns(np.array([0, 1, 1, 2, 3]), np.arange(6), k=2)
    assert chance.tolist() == [0.5, 0.25, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("k", [2, 5])
def test_a_large_category_is_no_sooner_dealt_to_than_a_small_one(k):
    """Turns that end before everybody had one: what is drawn is still what the chances say."""
    items = np.array([0, 1, 1, 1, 1, 1, 1, 2, 3])
    shop = Interactions(np.arange(9, dtype=np.int32), items.astype(np.int32), np.full(9, DAY), np.zeros(9, np.int8), np.arange(9),
                        [f"u{user}" for user in range(9)])
    drawn = [draw_shots(shop, 0, 2 * DAY, np.ones(9, bool), ShotConfig(k=k, strategy="stratified"), np.random.default_rng(seed),
                        strata=np.arange(4)) for seed in range(600)]
    share = np.bincount(np.concatenate([shots.rows for shots in drawn]), minlength=9) / 600
    np.testing.assert_allclose([share[items == item].mean() for item in range(4)], drawn[0].chance, atol=0.06)


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
