"""The closed form: finds what was planted, stays with the base where nothing was, and answers requests fast."""

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.closed_form import (
    ClosedFormConfig,
    Support,
    adapt_closed_form,
    prepare,
)
from recsys_core.adaptation.tilt import _Held
from recsys_core.base_model.data import Catalogue
from tests.adaptation.planted import LOCK, gain, likes, make_catalogue, word_vectors

SHOP = make_catalogue()
PRIOR = prepare(SHOP, np.full(len(SHOP), 20.0), LOCK)
BASE = PRIOR.item_share
REQUEST, EXACT = None, BASE  # a request's solver, and the offline one on the same base
CONFIG = ClosedFormConfig()


def adapt(taste: np.ndarray, k: int, seed: int = 0, share=EXACT, users: np.ndarray | None = None):
    items = np.random.default_rng(seed).choice(len(taste), k, p=taste)
    users = np.arange(k) if users is None else users
    return adapt_closed_form(PRIOR, {"s": Support(items, users, share)}, CONFIG)["s"]


def mean_gain(taste: np.ndarray, k: int, share=EXACT, seeds: int = 10) -> float:
    return float(np.mean([gain(taste, BASE, adapt(taste, k, seed, share).offsets(SHOP)) for seed in range(seeds)]))


def best(taste: np.ndarray) -> float:
    """The gain of knowing the taste itself."""
    return gain(taste, BASE, np.log(taste / BASE))


def mean_offset(offsets: np.ndarray, mask: pl.Series) -> float:
    """How far the items of a mask are lifted over the others."""
    chosen = mask.to_numpy()
    return float(offsets[chosen].mean() - offsets[~chosen].mean())


@pytest.mark.parametrize("share", [EXACT, REQUEST], ids=["exact", "request"])
def test_a_liked_category_is_found_as_a_group(share):
    taste = likes(SHOP, category="dairy")
    found = adapt(taste, 64, share=share)
    parts = found.parts(SHOP)
    assert mean_offset(parts["segment_groups"], SHOP.items["category"] == "dairy") > 1.5
    assert mean_gain(taste, 64, share) > 0.75 * best(taste)


@pytest.mark.parametrize("share", [EXACT, REQUEST], ids=["exact", "request"])
def test_a_liked_word_is_found_by_its_text_and_reaches_items_that_are_new(share):
    taste = likes(SHOP, word="red")
    found = adapt(taste, 64, share=share)
    assert mean_offset(found.parts(SHOP)["segment_text"], SHOP.items["text"].str.contains("red")) > 1
    assert mean_gain(taste, 64, share) > 0.5 * best(taste)
    texts = ["red coffee", "blue coffee", "red lamp", "green lamp"]
    new = Catalogue(pl.DataFrame({"item_id": list("abcd"), "text": texts, "category": [None] * 4, "brand": [None] * 4},
                                 schema_overrides={"category": pl.String, "brand": pl.String}),
                    np.arange(4, dtype=np.int32), word_vectors(texts))
    lifted = found.offsets(new)
    assert lifted[0] > lifted[1] + 0.5 and lifted[2] > lifted[3] + 0.5


def test_liked_single_items_are_found_as_items():
    favourites = [3, 50, 77]
    taste = likes(SHOP, items=favourites, factor=60)
    found = adapt(taste, 128)
    assert sorted(np.argsort(-found.offsets(SHOP))[:3]) == favourites
    without = replace(found, item_ids=(), item_values=np.zeros(0, np.float32))
    assert gain(taste, BASE, found.offsets(SHOP)) > gain(taste, BASE, without.offsets(SHOP)) + 0.2


def test_a_request_tilts_no_single_item():
    """Its base is the popularity: a personal base already expects what this shopper buys again and again."""
    taste = likes(SHOP, items=[3, 50, 77], factor=60)
    found = adapt(taste, 128, share=REQUEST)
    assert not found.item_ids and found.settings["strength"]["items"] is None


def test_more_shots_say_more_and_two_say_little():
    taste = likes(SHOP, word="red", category="dairy")
    gains = [mean_gain(taste, k) for k in (2, 8, 32, 128)]
    assert gains == sorted(gains) and gains[0] > -0.02
    spread = [np.mean([np.ptp(adapt(taste, k, seed).offsets(SHOP)) for seed in range(10)]) for k in (2, 8, 32, 128)]
    assert spread == sorted(spread) and spread[0] < spread[-1] / 5


def test_noise_costs_next_to_nothing():
    """Shots drawn from the base itself: whatever is still fitted must not hurt."""
    for k in (2, 8, 64):
        assert mean_gain(BASE, k, seeds=20) > -0.05
    quiet = sum(not adapt(BASE, 64, seed).is_live(SHOP) for seed in range(20))
    assert quiet >= 5


@pytest.mark.parametrize("share", [EXACT, REQUEST], ids=["exact", "request"])
@pytest.mark.parametrize("items", [[5], [5, 5], [5] * 40, [5, 9, 5, 9]])
def test_any_shots_give_finite_values(share, items):
    for users in (np.arange(len(items)), np.zeros(len(items), int)):
        found = adapt_closed_form(PRIOR, {"s": Support(np.array(items), users, share)}, CONFIG)["s"]
        assert np.isfinite(found.offsets(SHOP)).all()


@pytest.mark.parametrize("share", [EXACT, REQUEST], ids=["exact", "request"])
def test_one_user_alone_proves_nothing(share):
    """Every choice leaves one user out: with a single one nothing is left to choose by."""
    assert not adapt(likes(SHOP, category="dairy"), 32, users=np.zeros(32, int), share=share).is_live(SHOP)
    assert not adapt(likes(SHOP, category="dairy"), 1, share=share).is_live(SHOP)


def test_a_shop_without_groups_and_two_texts_can_be_adapted():
    items = pl.DataFrame({"item_id": ["a", "b"], "text": ["milk", "tea"], "category": [None, None],
                          "brand": [None, None]}, schema_overrides={"category": pl.String, "brand": pl.String})
    shop = Catalogue(items, np.array([0, 1], np.int32), word_vectors(["milk", "tea"]))
    prior = prepare(shop, np.ones(2), LOCK)
    for share in (None, prior.item_share):
        found = adapt_closed_form(prior, {"s": Support(np.zeros(20, int), np.arange(20), share)}, CONFIG)["s"]
        assert found.offsets(shop)[0] > found.offsets(shop)[1] + 0.5


def test_segments_solved_together_are_solved_as_if_alone():
    """Including one without shots that pay, users with many shots, and more segments than are solved in one go."""
    rng, supports = np.random.default_rng(0), {}
    for n in range(70):
        taste = (likes(SHOP, word="red"), likes(SHOP, category="dairy"), BASE)[n % 3]
        k = (64, 9, 1)[n % 3]
        supports[f"s{n}"] = Support(rng.choice(len(taste), k, p=taste), rng.integers(0, k, k), (EXACT, REQUEST)[n % 2])
    together = adapt_closed_form(PRIOR, supports, CONFIG)
    assert list(together) == list(supports)
    for name in ("s0", "s1", "s2", "s63", "s64", "s69"):
        alone = adapt_closed_form(PRIOR, {name: supports[name]}, CONFIG)[name]
        np.testing.assert_allclose(together[name].offsets(SHOP), alone.offsets(SHOP), atol=2e-4)
        assert together[name].settings == alone.settings and together[name].item_ids == alone.item_ids


def test_no_segments_no_adapters():
    assert adapt_closed_form(PRIOR, {}, CONFIG) == {}


def test_the_left_out_likelihood_is_the_sum_over_left_out_users():
    """Multiplied out over all users, against the same quantity user by user."""
    rng = np.random.default_rng(0)
    shots, user = rng.normal(size=(12, 3)).astype(np.float32), np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 6])
    segment = np.where(user < 4, 0, 1)
    held = _Held(shots, segment, user, 2)
    beta, mean = rng.normal(size=(2, 2, 3)), rng.normal(size=(2, 2, 3))
    variance, hessian, gradient = rng.random((2, 2, 3)), 1 + rng.random((2, 2, 3)), rng.normal(size=(2, 2, 3))
    log_z = rng.normal(size=(2, 2))
    expected = np.zeros((2, 2))
    for u in range(7):
        s, h, n = segment[user == u][0], shots[user == u].astype(float).sum(axis=0), (user == u).sum()
        delta = (gradient[s] + n * mean[s] - h) / hessian[s]
        partition = log_z[s] + (delta * mean[s] + 0.5 * delta**2 * variance[s]).sum(axis=1)
        expected[s] += ((beta[s] + delta) * h).sum(axis=1) - n * partition
    np.testing.assert_allclose(held.likelihood(beta, log_z, mean, variance, gradient, hessian), expected, rtol=1e-6)


def test_the_same_shots_give_the_same_adapter_and_leave_the_base_alone():
    before = [PRIOR.components.copy(), BASE.copy(), SHOP.vectors.copy()]
    one, two = (adapt(likes(SHOP, word="red"), 32) for _ in range(2))
    assert np.array_equal(one.offsets(SHOP), two.offsets(SHOP))
    assert all(np.array_equal(a, b) for a, b in zip(before, [PRIOR.components, BASE, SHOP.vectors], strict=True))


@pytest.mark.parametrize("taste", [likes(SHOP, word="red"), likes(SHOP, category="dairy"),
                                   likes(SHOP, word="small", category="home"), BASE])
def test_a_request_loses_little_against_the_exact_solution(taste):
    for k in (2, 4, 8):
        exact, request = mean_gain(taste, k), mean_gain(taste, k, REQUEST)
        assert request > exact - 0.05


def test_a_request_never_touches_every_item():
    """A catalogue 200 times larger costs a request about the same, not 200 times more."""
    def seconds(copies: int) -> float:
        items = pl.concat([SHOP.items.with_columns(item_id=pl.col("item_id") + f"-{n:03d}") for n in range(copies)])
        shop = Catalogue(items, np.tile(SHOP.text_of_item, copies), SHOP.vectors)
        prior = prepare(shop, np.ones(len(shop)), LOCK)
        support = Support(np.array([1, 2, 30, 50]), np.arange(4))
        adapt_closed_form(prior, {"s": support}, CONFIG)["s"]
        times = []
        for _ in range(20):
            start = time.perf_counter()
            adapt_closed_form(prior, {"s": support}, CONFIG)["s"]
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(200) < 5 * seconds(1)
