"""Choosing how far to trust the shots from the shots alone."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.adaptation import adapt
from recsys_core.adaptation.adapt import AdaptationConfig, BaseView, adapt_segment, choose_scale, helps_lists, view_base
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import prepare
from recsys_core.adaptation.shots import ShotConfig, Shots, draw_shots
from tests.adaptation.planted import DAY, LOCK, PopularityRanker, gain, likes, make_catalogue, make_events

CONFIG = AdaptationConfig(shots=ShotConfig(k=64))


@pytest.fixture(scope="module")
def shop():
    return make_catalogue()


@pytest.fixture(scope="module")
def prior(shop):
    return prepare(shop, np.full(len(shop), 20.0), LOCK)


@pytest.fixture(scope="module")
def ranker(shop, prior):
    return PopularityRanker(shop, prior.item_share)


@pytest.fixture(scope="module")
def taste(shop):
    return likes(shop, word="red", category="dairy", items=[3, 50], factor=20)


def draw(taste, seed=0, k=64):
    events = make_events(taste, seed)
    return draw_shots(events, 2 * DAY, 8 * DAY, np.ones(len(events), bool), ShotConfig(k=k), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def shots(taste):
    return draw(taste)


def whole(prior, ranker, shots) -> Adapter:
    """The closed form of the planted shots at its full scale."""
    return adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(0), scale=1.0)


def test_an_adapter_is_finite_live_and_better_than_the_base(prior, ranker, shots, taste, shop):
    adapter = whole(prior, ranker, shots)
    offsets = adapter.offsets(shop)
    assert (adapter.segment, adapter.method, adapter.settings["scale"]) == ("s", "closed_form", 1.0)
    assert offsets.shape == (len(shop),) and np.isfinite(offsets).all()
    assert adapter.is_live(shop)
    assert gain(taste, prior.item_share, offsets) > 0.3


def test_single_items_are_found(prior, ranker, shop):
    shots = draw(likes(shop, items=[3, 50], factor=60))
    adapter = whole(prior, ranker, shots)
    assert set(np.argsort(adapter.offsets(shop))[-2:]) == {3, 50}
    assert adapter.parts(shop)["segment_items"][[3, 50]].min() > 0.5


def test_an_adapter_survives_its_files(prior, ranker, shots, shop, tmp_path):
    adapter = whole(prior, ranker, shots)
    adapter.save(tmp_path / "s")
    loaded = Adapter.load(tmp_path / "s", LOCK)
    np.testing.assert_array_equal(loaded.offsets(shop), adapter.offsets(shop))
    loaded.save(tmp_path / "s")  # over itself
    assert Adapter.load(tmp_path / "s", LOCK).settings == adapter.settings


def test_adapting_is_deterministic_and_leaves_the_base_alone(prior, ranker, shots, shop):
    before = shop.vectors.tobytes(), prior.components.tobytes()
    one, two = (whole(prior, ranker, shots).offsets(shop) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (shop.vectors.tobytes(), prior.components.tobytes()) == before


def test_the_offline_view_adds_up(ranker, shots, prior):
    view = view_base(ranker, shots)
    assert view.probabilities.shape == (64, 144)
    np.testing.assert_allclose(view.share(np.arange(64)), prior.item_share, rtol=1e-4)
    rows, offsets = np.arange(5), np.random.default_rng(0).normal(size=144)
    plain = np.log(view.probabilities[rows, shots.items[:5]])
    tilted = view.probabilities[:5] * np.exp(offsets)
    expected = np.log(tilted[rows, shots.items[:5]] / tilted.sum(axis=1)) - plain
    np.testing.assert_allclose(view.gains(rows, shots.items[:5], offsets), expected, rtol=1e-3, atol=1e-5)


def test_cross_validation_finds_the_planted_taste_and_reports_every_scale(prior, ranker, shots):
    adapter = adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(0))
    gains = adapter.settings["cv_gain_nats"]
    assert set(gains) == {"0.5", "1.0"}
    assert str(adapter.settings["scale"]) == max(gains, key=gains.get)
    assert max(gains.values()) > 0.3


def test_shuffled_labels_fall_back_to_the_base(prior, ranker, taste):
    """Labels drawn from the base itself: whatever the seed, hardly ever is anything adapted, and then barely."""
    left = []
    for seed in range(20):
        noise = draw(prior.item_share, seed)
        adapter = adapt_segment(prior, ranker, "s", noise, CONFIG, np.random.default_rng(0))
        offsets = np.zeros(len(taste)) if adapter is None else adapter.offsets(prior.catalogue)
        left.append(gain(prior.item_share, prior.item_share, offsets) if offsets.any() else 0.0)
    assert sum(value == 0.0 for value in left) >= 15
    assert np.mean(left) > -0.01


def test_what_wins_by_likelihood_must_not_spoil_the_lists(shop):
    """Lifting the tail explains seven of a shopper's eight choices, and drives the eighth out of the ten that are shown."""
    share = np.r_[0.01, np.full(9, 0.1), np.full(len(shop) - 10, 1e-4)]
    share /= share.sum()
    users, top = np.repeat(np.arange(8), 8), np.tile(np.arange(8) == 0, 8)
    rng = np.random.default_rng(0)
    items = np.where(top, rng.integers(1, 10, 64), rng.integers(10, len(shop), 64)).astype(np.int32)
    shots = Shots(None, items, users, np.arange(64))
    view = BaseView(np.tile(share, (64, 1)).astype(np.float32))
    lifted = np.where(np.arange(len(shop)) < 10, -8.0, 0.0)
    every = [np.arange(64)]
    assert view.gains(every[0], items, lifted).sum() > 2 * CONFIG.evidence
    assert not helps_lists(view, shots, every, [lifted], CONFIG)
    assert helps_lists(view, shots, every, [np.zeros(len(shop))], CONFIG)       # nothing moves
    assert helps_lists(view, shots, every, [1e-3 * lifted], CONFIG)             # nothing moves in any list
    better = np.zeros(len(shop))
    better[np.unique(items[top])] = 1.0
    assert helps_lists(view, shots, every, [better], CONFIG)
    assert not helps_lists(view, replace(shots, users=np.zeros(64, int)), every, [better], CONFIG)  # one shopper proves nothing


def test_a_chosen_scale_is_not_chosen_again(prior, ranker, shots):
    half = adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(1), scale=0.5)
    full = whole(prior, ranker, shots)
    assert half.settings["cv_gain_nats"] == {}
    np.testing.assert_allclose(half.offsets(prior.catalogue), 0.5 * full.offsets(prior.catalogue), atol=1e-6)


def test_too_few_shots_stay_on_the_base(prior, ranker, taste):
    few = draw(taste, k=3)
    assert adapt_segment(prior, ranker, "s", few, CONFIG, np.random.default_rng(0)) is None
    assert adapt_segment(prior, ranker, "s", draw(taste, k=4), CONFIG, np.random.default_rng(0),
                         scale=1.0) is not None


def test_a_user_is_never_on_both_sides_of_a_fold(prior, ranker, shots, monkeypatch):
    def watch(prior, view, shots, subsets, config) -> dict[str, Adapter]:
        for train in subsets.values():
            held = np.setdiff1d(np.arange(len(shots)), train)
            assert not set(shots.users[train]) & set(shots.users[held])
            seen.append(held)
        return {name: Adapter(name, "zero", LOCK, np.zeros(24, np.float32)) for name in subsets}

    seen: list[np.ndarray] = []
    monkeypatch.setattr(adapt, "solve", watch)
    scale, gains = choose_scale(prior, view_base(ranker, shots), shots, CONFIG, np.random.default_rng(0))
    assert scale == 0.0 and gains["1.0"] == pytest.approx(0, abs=1e-5)
    assert sorted(np.concatenate(seen)) == list(range(len(shots)))


def test_one_shopper_cannot_be_cross_validated(prior, ranker, shots):
    alone = replace(shots, users=np.zeros_like(shots.users))
    assert adapt_segment(prior, ranker, "s", alone, CONFIG, np.random.default_rng(0)) is None
