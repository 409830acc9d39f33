"""The ranker on a planted shop: what it must learn, how its parts add up, and what it refuses."""

import numpy as np
import polars as pl
import pytest

from recsys_core.base_model.fit import fit_ranker
from recsys_core.base_model.prior import prior_weights
from recsys_core.base_model.ranker import Ranker, RankerConfig
from recsys_core.errors import ModelError
from recsys_core.interactions.arrays import Catalogue, Histories, Interactions, make_queries
from recsys_core.interactions.knots import cut_histories, known_steps

DAY = 86_400
N_ITEMS, N_USERS, COLD = 40, 60, 39
CONFIG = RankerConfig(neighbours=3)


def catalogue(order: int = 0) -> Catalogue:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N_ITEMS, 16)).astype(np.float32)
    vectors[COLD] = vectors[0] + 0.05 * rng.normal(size=16)  # never sold; reads like item 0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = pl.DataFrame({"item_id": [f"i{row:03d}" for row in range(N_ITEMS)],
                          "brand": [None if row % 5 else "acme" for row in range(N_ITEMS)],
                          "category": [f"c{row % 3}" for row in range(N_ITEMS)]})
    if order:
        items = items.with_columns(item_id="x" + pl.col("item_id"))
    return Catalogue(items, np.arange(N_ITEMS, dtype=np.int32), vectors)


def shop(repeats: bool, steps: int = 12) -> Interactions:
    """Shoppers who rebuy what they know (or walk i → i + 1 and never come back)."""
    rng = np.random.default_rng(1)
    rows = []
    for user in range(N_USERS):
        favourites = rng.choice(COLD, 3, replace=False)
        at = rng.integers(COLD)
        for step in range(steps):
            at = (at + 1) % COLD
            item = rng.choice(favourites) if repeats else at
            rows.append((user, (step * 3 + rng.random()) * DAY, item))
    user, timestamp, item = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return Interactions(user.astype(np.int32), item.astype(np.int32), timestamp.astype(np.int64),
                        np.zeros(len(user), np.int8), np.arange(len(user)), [str(u) for u in range(N_USERS)])


def split(interactions: Interactions):
    cutoff = 27 * DAY
    return interactions.before(cutoff), make_queries(interactions, cutoff, 40 * DAY)


@pytest.fixture(scope="module")
def fitted() -> tuple[Ranker, Interactions]:
    train, questions = split(shop(repeats=True))
    return fit_ranker(train, catalogue(), CONFIG, validation=questions), shop(repeats=True)


def hit_rate(ranker: Ranker, questions, k: int) -> float:
    scores = ranker.score(questions.histories)
    rank = (scores > scores[np.arange(len(questions)), questions.targets][:, None]).sum(axis=1)
    return float((rank < k).mean())


def test_repeats_count_for_an_item_in_one_shop_and_against_it_in_another(fitted):
    walkers, questions = split(shop(repeats=False))
    walker = fit_ranker(walkers, catalogue(), CONFIG, validation=questions)
    history = questions.histories[:1]
    seen, unseen = history.items[0], COLD

    def repeat_effect(ranker: Ranker) -> float:
        at = [row for row, name in enumerate(ranker.part_names) if name.startswith(("bought", "repeat"))]
        explained = ranker.weigh(history).explain(np.array([[seen, unseen]]))[0]
        return float(explained[0, at].sum() - explained[1, at].sum())

    assert repeat_effect(fitted[0]) > 1.0
    assert repeat_effect(walker) < -1.0


def test_what_follows_is_learned():
    train, questions = split(shop(repeats=False))
    ranker = fit_ranker(train, catalogue(), CONFIG, validation=questions)
    assert hit_rate(ranker, questions, 1) > 0.9


def parts_of(ranker: Ranker, histories: Histories, now: int | None = None) -> np.ndarray:
    """Every part by itself, unweighted: float32 [P, n, N]."""
    pieces, everything = ranker.weigh(histories, now).pieces, np.arange(N_ITEMS)
    return np.array([[piece.at(row, everything) for row in range(len(histories))] for piece in pieces], np.float32)


def test_favourites_are_ranked_first(fitted):
    ranker, interactions = fitted
    assert hit_rate(ranker, split(interactions)[1], 3) > 0.95


def test_parts_times_weights_are_the_score_and_its_explanation(fitted):
    ranker, interactions = fitted
    histories = split(interactions)[1].histories[:5]
    parts, score = parts_of(ranker, histories), ranker.score(histories)
    assert parts.shape == (len(ranker.part_names), 5, N_ITEMS) and parts.dtype == score.dtype == np.float32
    weights = ranker.weights_for(known_steps(histories))
    np.testing.assert_allclose(np.einsum("np,pni->ni", weights, parts), score, atol=1e-4)
    rows = np.tile(np.array([3, 1]), (5, 1))
    np.testing.assert_allclose(ranker.weigh(histories).explain(rows).sum(axis=2), score[:, [3, 1]], atol=1e-4)


def test_scores_do_not_depend_on_who_else_is_asked(fitted):
    ranker, interactions = fitted
    histories = split(interactions)[1].histories
    np.testing.assert_allclose(ranker.score(histories)[4:5], ranker.score(histories[4:5]), atol=1e-5)


def test_the_less_is_known_the_more_the_weights_say_of_everybody():
    """Shoppers who rebuy: with one step known a ranker must not trust it as it trusts twelve."""
    train, questions = split(shop(repeats=True))
    ranker = fit_ranker(train, catalogue(), CONFIG, validation=questions)
    hits = [hit_rate(ranker, cut_histories(questions, steps), 3) for steps in (0, 1, 4, 99)]
    assert hits == sorted(hits) and hits[0] < 0.5 < hits[-1]
    assert ranker.weights.shape == (7, len(ranker.part_names))


def no_history() -> Histories:
    empty = np.zeros(0, np.float32)
    return Histories(np.zeros(2, np.int64), np.zeros(0, np.int32), empty, empty, np.zeros(0, np.int8))


def one_event(item: int) -> Histories:
    zero = np.zeros(1, np.float32)
    return Histories(np.array([0, 1]), np.array([item], np.int32), zero, zero, np.zeros(1, np.int8))


def test_without_history_popularity_ranks(fitted):
    ranker, _ = fitted
    parts = parts_of(ranker, no_history())[:, 0]
    behind = [name for name, part in zip(ranker.part_names, parts, strict=True) if np.ptp(part) > 0]
    assert set(behind) <= {"popularity", "bestseller", "trend"}
    assert np.isfinite(ranker.score(no_history())).all()


def test_an_item_never_sold_is_ranked_by_its_text(fitted):
    ranker, _ = fitted
    parts = dict(zip(ranker.part_names, parts_of(ranker, one_event(0))[:, 0], strict=True))
    others = [row for row in range(N_ITEMS) if row not in (0, COLD)]
    assert parts["text_profile"][COLD] > parts["text_profile"][others].max()


def test_trends_fade_as_the_model_ages(fitted):
    ranker, interactions = fitted
    at = ranker.part_names.index("trend")
    newest = int(interactions.before(27 * DAY).timestamp.max())
    fresh = parts_of(ranker, no_history(), now=newest)[at]
    old = parts_of(ranker, no_history(), now=newest + 365 * DAY)[at]
    assert np.abs(fresh).max() > 0.05 and np.abs(old).max() < 1e-3


def test_a_refit_with_frozen_weights_changes_only_the_counts(fitted):
    ranker, interactions = fitted
    refitted = fit_ranker(interactions, catalogue(), ranker.config, weights=ranker.weights)
    np.testing.assert_array_equal(refitted.weights, ranker.weights)
    assert refitted.counts.popularity.sum() == len(interactions) > ranker.counts.popularity.sum()


def test_without_questions_the_weights_are_those_of_other_shops():
    ranker = fit_ranker(shop(repeats=False), catalogue(), CONFIG)
    assert ranker.settings["blend"] == "prior"
    np.testing.assert_array_equal(ranker.weights, prior_weights()[0].astype(np.float32))


def test_a_shop_without_events_is_ranked_by_text():
    empty = shop(repeats=True).before(0)
    ranker = fit_ranker(empty, catalogue(), CONFIG)
    assert set(np.argsort(-ranker.score(one_event(0))[0])[:2].tolist()) == {0, COLD}


def test_saving_and_loading_gives_the_same_scores(fitted, tmp_path):
    ranker, interactions = fitted
    ranker.save(tmp_path / "ranker")
    again = Ranker.load(tmp_path / "ranker", catalogue())
    histories = split(interactions)[1].histories
    np.testing.assert_array_equal(again.score(histories), ranker.score(histories))
    assert again.settings == ranker.settings and again.config == ranker.config


def test_another_catalogue_is_refused(fitted, tmp_path):
    fitted[0].save(tmp_path / "ranker")
    with pytest.raises(ModelError, match="another catalogue"):
        Ranker.load(tmp_path / "ranker", catalogue(order=1))


def test_weights_and_validation_exclude_each_other(fitted):
    ranker, interactions = fitted
    train, questions = split(interactions)
    with pytest.raises(ModelError, match="both"):
        fit_ranker(train, catalogue(), CONFIG, validation=questions, weights=ranker.weights)
    with pytest.raises(ModelError, match="knots"):
        fit_ranker(train, catalogue(), CONFIG, weights=ranker.weights[:2])


def test_two_fits_are_bit_identical(fitted):
    ranker, interactions = fitted
    train, questions = split(interactions)
    again = fit_ranker(train, catalogue(), CONFIG, validation=questions)
    np.testing.assert_array_equal(again.weights, ranker.weights)
    np.testing.assert_array_equal(again.score(questions.histories), ranker.score(questions.histories))
