"""Choosing a method from the shots alone, and one contract for every method."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.adaptation.adapt import (
    AdaptationConfig,
    adapt_segment,
    choose_method,
    helps_lists,
    view_base,
)
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import prepare
from recsys_core.adaptation.lora import LoraConfig, Prefix
from recsys_core.adaptation.methods import BaseView, Task, closed_form_methods, lora_methods
from recsys_core.adaptation.shots import ShotConfig, Shots, draw_shots
from recsys_core.base_model.encoder import EncoderConfig, load_encoder, weights_hash
from tests.adaptation.planted import DAY, LOCK, PopularityRanker, gain, likes, make_catalogue, make_events
from tests.base_model.tiny_encoder import write_tiny_bert

METHODS = ["closed_form", "from other", "from other+shots", "lora"]
CONFIG = AdaptationConfig(shots=ShotConfig(k=64), lora=LoraConfig(steps=6, negatives=32))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def shop(encoder):
    return make_catalogue(encoder.encode)


@pytest.fixture(scope="module")
def prior(shop):
    return prepare(shop, np.full(len(shop), 20.0), LOCK)


@pytest.fixture(scope="module")
def ranker(shop, prior):
    return PopularityRanker(shop, prior.item_share)


@pytest.fixture(scope="module")
def taste(shop):
    return likes(shop, word="red", category="dairy", items=[3, 50], factor=20)


def draw(taste, seed=0, k=64, **stratified):
    events = make_events(taste, seed)
    everything = np.ones(len(events), bool)
    config = ShotConfig(k=k, strategy="stratified" if stratified else "random")
    return draw_shots(events, 2 * DAY, 8 * DAY, everything, config, np.random.default_rng(seed), **stratified)


@pytest.fixture(scope="module")
def shots(taste):
    return draw(taste)


@pytest.fixture(scope="module")
def other(shop, prior, ranker):
    """The adapter of another segment with a taste that is close."""
    shots = draw(likes(shop, word="red", factor=20), seed=9)
    return adapt_segment(prior, ranker, "other", shots, CONFIG, np.random.default_rng(0), only=("closed_form", 1.0))


@pytest.fixture(scope="module")
def make(encoder, shop, prior, ranker, shots, other, tmp_path_factory):
    """Fit one method on the planted shots, at its full scale."""
    prefix = Prefix(encoder, shop.texts)

    def adapt(name: str, config: AdaptationConfig = CONFIG) -> Adapter:
        methods = closed_form_methods
        if name == "lora":
            methods = lora_methods(prefix, config.lora, tmp_path_factory.mktemp("lora") / "peft")
        return adapt_segment(prior, ranker, "s", shots, config, np.random.default_rng(0), methods=methods,
                             starts={"other": other}, only=(name, 1.0))

    return adapt


@pytest.fixture(scope="module")
def made(make):
    return {name: make(name) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_finite_live_and_better_than_the_base(name, made, shop, prior, taste):
    offsets = made[name].offsets(shop)
    assert made[name].settings["method"] == name
    assert offsets.shape == (len(shop),) and np.isfinite(offsets).all()
    assert made[name].is_live(shop)
    assert gain(taste, prior.item_share, offsets) > 0.3


@pytest.mark.parametrize("name", ["closed_form", "lora"])
def test_no_method_takes_stratified_shots_for_a_taste(name, encoder, shop, prior, ranker, tmp_path):
    """Dealt in turns, a twelfth of the events is half of the shots; the base expects it, so there is nothing to learn."""
    rare = (shop.items["brand"] == "acme").to_numpy()
    share = np.where(rare, 1.0, 11.0)
    share /= share.sum()
    known, methods = prepare(shop, 2000 * share, LOCK), closed_form_methods
    if name == "lora":
        methods = lora_methods(Prefix(encoder, shop.texts), CONFIG.lora, tmp_path / "peft")
    drawn = draw(share, seed=1, k=32, strata=rare.astype(int))
    assert rare[drawn.items].mean() > 0.4

    def lift(shots) -> float:
        adapter = adapt_segment(known, PopularityRanker(shop, share), "s", shots, CONFIG, np.random.default_rng(0),
                                methods=methods, only=(name, 1.0))
        offsets = adapter.offsets(shop)
        return float(offsets[rare].mean() - offsets[~rare].mean())

    assert abs(lift(drawn)) < 0.2
    assert lift(replace(drawn, chance=None)) > 1.0


@pytest.mark.parametrize("name", ["closed_form", "from other+shots", "lora"])
def test_every_method_that_learns_from_the_shots_finds_single_items(name, made, shop):
    offsets = made[name].parts(shop)["segment_items"]
    assert offsets.argmax() in (3, 50) and offsets.max() > 0.5


@pytest.mark.parametrize("name", METHODS)
def test_every_method_survives_its_files(name, made, shop, tmp_path):
    made[name].save(tmp_path / "s")
    loaded = Adapter.load(tmp_path / "s", LOCK)
    np.testing.assert_array_equal(loaded.offsets(shop), made[name].offsets(shop))
    loaded.save(tmp_path / "s")  # over itself, PEFT folder included
    assert Adapter.load(tmp_path / "s", LOCK).settings == made[name].settings


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_deterministic_and_leaves_the_base_alone(name, make, made, shop, prior, encoder):
    before = weights_hash(encoder.model), shop.vectors.tobytes(), prior.components.tobytes()
    np.testing.assert_array_equal(make(name).offsets(shop), made[name].offsets(shop))
    assert (weights_hash(encoder.model), shop.vectors.tobytes(), prior.components.tobytes()) == before


def test_the_offline_view_adds_up(ranker, shots, prior):
    view = view_base(ranker, shots)
    assert view.probabilities.shape == (64, 144)
    np.testing.assert_allclose(view.share(np.arange(64)), prior.item_share, rtol=1e-4)
    rows, offsets = np.arange(5), np.random.default_rng(0).normal(size=144)
    plain = np.log(view.probabilities[rows, shots.items[:5]])
    tilted = view.probabilities[:5] * np.exp(offsets)
    expected = np.log(tilted[rows, shots.items[:5]] / tilted.sum(axis=1)) - plain
    np.testing.assert_allclose(view.gains(rows, shots.items[:5], offsets), expected, rtol=1e-3, atol=1e-5)


def test_cross_validation_finds_the_planted_taste_and_reports_every_method(prior, ranker, shots):
    adapter = adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(0))
    gains = adapter.settings["cv_gain_nats"]
    assert set(gains) == {f"closed_form@{scale}" for scale in (0.5, 1.0)}
    assert f"{adapter.settings['method']}@{adapter.settings['scale']}" == max(gains, key=gains.get)
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


def test_stratified_shots_are_asked_for_the_lists_that_shoppers_see(shop, ranker, shots):
    """Whatever their chances, ranks are the base's; a shot that stands for more events counts for more."""
    chance = np.where(shop.items["brand"] == "acme", 0.01, 1.0)
    rows, offsets = np.arange(len(shots)), np.random.default_rng(0).normal(size=len(shop))
    plain = view_base(ranker, shots).list_gains(rows, shots.items, offsets)
    met = view_base(ranker, replace(shots, chance=chance)).list_gains(rows, shots.items, offsets)
    assert plain.any()
    np.testing.assert_allclose(met, plain / chance[shots.items], atol=1e-9)


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


def test_a_chosen_method_is_not_chosen_again(prior, ranker, shots):
    adapter = adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(0), only=("closed_form", 0.5))
    whole = adapt_segment(prior, ranker, "s", shots, CONFIG, np.random.default_rng(1), only=("closed_form", 1.0))
    assert adapter.settings["method"] == "closed_form" and adapter.settings["cv_gain_nats"] == {}
    np.testing.assert_allclose(adapter.offsets(prior.catalogue), 0.5 * whole.offsets(prior.catalogue), atol=1e-6)


def test_too_few_shots_stay_on_the_base(prior, ranker, taste):
    few = draw(taste, k=3)
    assert adapt_segment(prior, ranker, "s", few, CONFIG, np.random.default_rng(0)) is None
    assert adapt_segment(prior, ranker, "s", draw(taste, k=4), CONFIG, np.random.default_rng(0),
                         only=("closed_form", 1.0)) is not None


def test_a_user_is_never_on_both_sides_of_a_fold(prior, ranker, shots):
    def watch(task: Task, subsets: list[np.ndarray]) -> list[dict[str, Adapter]]:
        for train in subsets:
            held = np.setdiff1d(np.arange(len(shots)), train)
            assert not set(shots.users[train]) & set(shots.users[held])
            seen.append(held)
        return [{"zero": Adapter("s", "zero", LOCK, np.zeros(32, np.float32))} for _ in subsets]

    seen: list[np.ndarray] = []
    task = Task(prior, "s", shots, view_base(ranker, shots), CONFIG.closed_form)
    name, scale, gains = choose_method(watch, task, CONFIG, np.random.default_rng(0))
    assert (name, scale) == ("base", 0.0) and gains["zero@1.0"] == pytest.approx(0, abs=1e-5)
    assert sorted(np.concatenate(seen)) == list(range(len(shots)))


def test_one_shopper_cannot_be_cross_validated(prior, ranker, shots):
    alone = replace(shots, users=np.zeros_like(shots.users))
    assert adapt_segment(prior, ranker, "s", alone, CONFIG, np.random.default_rng(0)) is None


def test_a_start_that_does_not_fit_is_left_alone(shop, prior, ranker, other, taste):
    other_taste = likes(shop, category="kitchen", factor=20)
    adapter = adapt_segment(prior, ranker, "s", draw(other_taste), CONFIG, np.random.default_rng(0),
                            starts={"other": other})
    assert adapter.settings["method"] != "from other"
    assert gain(other_taste, prior.item_share, adapter.offsets(shop)) > 0.3
