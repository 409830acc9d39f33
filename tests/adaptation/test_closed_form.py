"""The closed form: finds what was planted, stays with the base where nothing was, and answers requests fast."""

import json
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.closed_form import (
    ClosedFormConfig,
    Counted,
    PoolConfig,
    Strengths,
    Support,
    adapt_closed_form,
    choose_strengths,
    crowding,
    prepare,
    solve,
    solve_counts,
)
from recsys_core.adaptation.items import ItemPrior, log_lift
from recsys_core.adaptation.stages import Stages, stack, stack_unseen
from recsys_core.adaptation.tilt import _Held
from recsys_core.errors import AdapterError
from recsys_core.interactions.arrays import Catalogue
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


def test_liked_single_items_are_found_as_items_and_only_they():
    favourites = [3, 50, 77]
    taste = likes(SHOP, items=favourites, factor=60)
    supports = [draw(taste, 128, n) for n in range(5)]
    strengths = choose(supports)
    assert strengths.items is not None and strengths.items.rare > 0
    found = solve(PRIOR, {"s": count(supports[0])}, strengths)["s"]
    offsets = found.offsets(SHOP)
    assert sorted(np.argsort(-offsets)[:3]) == favourites
    assert offsets[favourites].min() > np.delete(offsets, favourites).max() + 1
    assert gain(taste, BASE, offsets) > 0.8 * best(taste)


def test_an_item_that_is_expected_and_never_taken_is_lowered():
    missing = likes(SHOP, items=[3, 50, 77], factor=1e-3)
    supports = [draw(missing, 3000, n) for n in range(5)]
    offsets = solve(PRIOR, {"s": count(supports[0])}, choose(supports))["s"].offsets(SHOP)
    assert sorted(np.argsort(offsets)[:3]) == [3, 50, 77] and offsets[[3, 50, 77]].max() < -0.3


def test_a_request_tilts_no_single_item():
    """Its base is the popularity: a personal base already expects what this shopper buys again and again."""
    assert not adapt(likes(SHOP, items=[3, 50, 77], factor=60), 128, share=REQUEST).item_ids


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


def draw(taste: np.ndarray, k: int, seed: int = 0, users: int | None = None, share=REQUEST) -> Support:
    rng = np.random.default_rng(seed)
    return Support(rng.choice(len(taste), k, p=taste), np.arange(k) if users is None else rng.integers(users, size=k), share)


def count(support: Support) -> Counted:
    items, counts = np.unique(support.items, return_counts=True)
    return Counted(items, counts, support.share, crowding(support.users))


def choose(supports: list[Support], items: bool = True, **settings) -> Strengths:
    return choose_strengths(PRIOR, supports, PoolConfig(**settings), items=items, rng=np.random.default_rng(0))


@pytest.mark.parametrize("share", [EXACT, REQUEST], ids=["exact", "request"])
@pytest.mark.parametrize("taste", [likes(SHOP, category="dairy"), likes(SHOP, word="red")], ids=["category", "word"])
def test_counts_with_the_same_strengths_give_the_same_adapter(taste, share):
    support = draw(taste, 128, share=share)
    one = adapt_closed_form(PRIOR, {"s": support}, CONFIG)["s"]
    strength = one.settings["strength"]
    strengths = Strengths((strength["category_1"], strength["brand"]), strength["text"])
    two = solve(PRIOR, {"s": count(support)}, strengths)["s"]
    np.testing.assert_allclose(two.offsets(SHOP), one.offsets(SHOP), atol=2e-4)
    assert two.settings["strength"] == {**strength, "items": None, "rare_items": None}
    assert two.settings["shots"] == 128 and two.method == "counts"


@pytest.mark.parametrize("item_prior", [ItemPrior(1.0, 0.0), ItemPrior(3.0, 0.05), ItemPrior(1000.0, 0.05)])
def test_the_gain_of_an_item_prior_is_the_sum_over_left_out_shots(item_prior):
    """Against the definition, every shot left out in turn and the partition summed over all items."""
    rng, size = np.random.default_rng(0), len(SHOP)
    share = rng.gamma(0.5, 1, size) + 1e-4
    prior = replace(PRIOR, item_share=share / share.sum())
    taste = prior.item_share * rng.gamma(2, 0.5, size)
    items = rng.choice(size, 200, p=taste / taste.sum())
    rows = stack([Support(items, np.arange(200))])
    unseen = stack_unseen(prior, [(np.unique(items), 200, None)], item_prior.least_expected)
    found = Stages(prior, [None], rows, unseen).item_gains([item_prior], np.ones(1))[0, 0]
    counts, expected = np.bincount(items, minlength=size), 0.0
    for item in np.flatnonzero(counts):
        lift = log_lift(counts - (np.arange(size) == item), 199 * prior.item_share, item_prior)
        expected += counts[item] * (lift[item] - np.log(prior.item_share @ np.exp(lift)))
    assert found == pytest.approx(expected, abs=0.05)


def test_many_members_are_solved_side_by_side_as_each_alone():
    tastes = [likes(SHOP, category="dairy"), likes(SHOP, word="red"), likes(SHOP, items=[3], factor=90)]
    counted = {f"s{n}": count(draw(tastes[n % 3], 1 + n, n)) for n in range(70)}
    counted["nobody"] = Counted(np.zeros(0, np.int64), np.zeros(0))
    strengths = Strengths((16.0, 300.0), 10.0, ItemPrior(10.0, 0.01), likeness=0.1)
    together, arrays = solve(PRIOR, counted, strengths), solve_counts(PRIOR, counted.values(), strengths)
    for row, (name, one) in enumerate(counted.items()):
        alone = solve(PRIOR, {name: one}, strengths)[name].offsets(SHOP)
        np.testing.assert_allclose(together[name].offsets(SHOP), alone, atol=2e-4)
        np.testing.assert_allclose(arrays.offsets(row, SHOP), alone, atol=2e-4)
    assert np.abs(together["nobody"].offsets(SHOP)).max() < 1e-6
    assert solve(PRIOR, {}, strengths) == {}


def test_a_family_pools_what_each_member_alone_cannot_show():
    """Six shots convince nobody of a taste; two hundred members with six shots each do."""
    tastes = [likes(SHOP, category=category) for category in ("dairy", "home", "bakery", "kitchen")]
    supports = [draw(tastes[n % 4], 6, n) for n in range(200)]
    strengths = choose(supports)
    assert strengths.groups[0] is not None and strengths.groups[0] <= 16
    alone = adapt_closed_form(PRIOR, {f"{n}": support for n, support in enumerate(supports)}, CONFIG)
    pooled = solve(PRIOR, {f"{n}": count(support) for n, support in enumerate(supports)}, strengths)
    gains = [np.mean([gain(tastes[n % 4], BASE, made[f"{n}"].offsets(SHOP)) for n in range(200)]) for made in (alone, pooled)]
    assert gains[1] > gains[0] + 0.05


def test_the_strengths_fall_where_members_differ_more():
    found = [choose([draw(likes(SHOP, category=("dairy", "home")[n % 2], factor=factor), 200, n) for n in range(20)]).groups[0]
             for factor in (1.5, 4, 20)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


def test_a_stage_that_nobody_needs_stays_off():
    noise = choose([draw(BASE, 100, n) for n in range(20)])
    assert noise.is_off() or noise.groups[0] is None or noise.groups[0] >= 1000
    assert choose([]).is_off() and choose([Support(np.zeros(0, int), np.zeros(0, int))]).is_off()
    own = [draw(likes(SHOP, items=[n, n + 40, n + 90], factor=200), 200, n) for n in range(20)]
    assert choose(own).items is not None and choose(own, items=False).items is None


def test_many_shots_of_few_shoppers_choose_what_fits_few_shots_of_many():
    """Shoppers who repeat themselves: without their likeness, large members would choose strengths that mute small ones."""
    rng = np.random.default_rng(0)

    def member(n: int, shoppers: int, shots: int) -> Support:
        taste = likes(SHOP, category=("dairy", "home", "bakery", "kitchen")[n % 4], factor=6)
        favourites = rng.choice(len(SHOP), (shoppers, 4), p=taste)  # each takes its own four again and again
        users = np.repeat(np.arange(shoppers), shots)
        return Support(favourites[users, rng.integers(4, size=len(users))], users)

    large = [member(n, 12, 80) for n in range(40)]
    blind, knowing = choose(large, likeness=0.0), choose(large, likeness=0.5)
    small = [member(n, 24, 1) for n in range(40)]

    def value(strengths: Strengths) -> float:
        made = solve(PRIOR, {f"{n}": count(support) for n, support in enumerate(small)}, strengths)
        return float(np.mean([gain(likes(SHOP, category=("dairy", "home", "bakery", "kitchen")[n % 4], factor=6), BASE,
                                   made[f"{n}"].offsets(SHOP)) for n in range(40)]))

    assert knowing.groups[0] < blind.groups[0] and value(knowing) > value(blind)


def test_the_design_effect_and_the_record():
    strengths = Strengths((30.0, None), 10.0, ItemPrior(30.0, 0.1), likeness=0.1)
    assert strengths.design_effect(np.array([1.0, 11.0])).tolist() == [1.0, 2.0]
    for one in (strengths, replace(strengths, items=None)):
        assert Strengths.from_json(json.loads(json.dumps(one.to_json()))) == one and not one.is_off()
    assert Strengths((None, None)).is_off()


def test_strengths_of_another_catalogue_are_refused():
    with pytest.raises(AdapterError, match="chosen for 3 levels of groups, the catalogue has 2"):
        solve(PRIOR, {}, Strengths((None,) * 3))


def test_the_same_generator_looks_at_the_same_members():
    supports = [draw(likes(SHOP, category="dairy"), 50, n, users=9) for n in range(30)]
    assert choose(supports, members=8, shots=20) == choose(supports, members=8, shots=20)
