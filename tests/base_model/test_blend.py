"""The blend: planted weights are found, gradients match differences, sampling keeps the mass."""

import numpy as np

from recsys_core.base_model.blend import Choices, fit_head, fit_weights, log_likelihood, sample_candidates
from recsys_core.interactions.knots import KNOTS

FULL = len(KNOTS) - 1


def alike(weights) -> np.ndarray:
    """The same weights at every knot."""
    return np.tile(np.asarray(weights, float), (len(KNOTS), 1))


def planted(weights: np.ndarray, situations: int, items: int, seed: int = 0, steps: int = KNOTS[-1]) -> Choices:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(len(weights), situations, items)).astype(np.float32)
    logits = np.tensordot(weights, features, 1) + rng.gumbel(size=(situations, items))
    chosen = np.zeros((situations, items), np.float32)
    chosen[np.arange(situations), logits.argmax(axis=1)] = 1.0
    return Choices(features.reshape(len(weights), -1), np.arange(situations) * items,
                   np.zeros(situations * items, np.float32), chosen.ravel(), np.full(situations, steps))


def together(*parts: Choices) -> Choices:
    starts = np.cumsum([0, *(part.features.shape[1] for part in parts)])
    return Choices(np.concatenate([part.features for part in parts], axis=1),
                   np.concatenate([part.start + low for part, low in zip(parts, starts, strict=False)]),
                   *(np.concatenate([getattr(part, name) for part in parts]) for name in ("log_weight", "chosen", "steps")))


def test_planted_weights_come_back_with_their_signs():
    truth = np.array([1.5, -1.0, 0.0])
    found = fit_weights(planted(truth, 4000, 20), alike(np.zeros(3)), ridge=1.0, smooth=30.0)
    np.testing.assert_allclose(found[FULL], truth, atol=0.12)


def test_weights_differ_where_shoppers_of_little_history_choose_otherwise():
    little, much = np.array([-1.0, 0.5]), np.array([1.0, 0.5])
    choices = together(planted(little, 2000, 20, steps=1), planted(much, 2000, 20, seed=1))
    found = fit_weights(choices, alike(np.zeros(2)), ridge=1.0, smooth=30.0)
    np.testing.assert_allclose(found[1], little, atol=0.2)
    np.testing.assert_allclose(found[FULL], much, atol=0.2)


def test_a_knot_without_choices_follows_its_neighbours():
    found = fit_weights(planted(np.array([1.0]), 2000, 20), alike([0.0]), ridge=1.0, smooth=30.0)
    assert found[0, 0] > 0.4


def test_gradient_and_hessian_match_finite_differences():
    choices, at = planted(np.array([0.5, -0.5]), 40, 7, steps=3), alike([0.3, 0.2])  # 3 lies between two knots
    _, gradient, hessian = log_likelihood(choices, at)
    for p in ((2, 0), (3, 1)):
        shift = np.zeros_like(at)
        shift[p] = 1e-2
        up, down = log_likelihood(choices, at + shift), log_likelihood(choices, at - shift)
        np.testing.assert_allclose((up[0].sum() - down[0].sum()) / 2e-2, gradient[p], rtol=2e-3)
        np.testing.assert_allclose((down[1] - up[1]) / 2e-2, hessian[p], rtol=2e-3)


def test_a_part_without_variation_stays_at_its_prior():
    choices = planted(np.array([1.0, 0.0]), 500, 10)
    choices.features[1] = 3.0
    found = fit_weights(choices, alike([0.0, 0.7]), ridge=1.0, smooth=30.0)
    np.testing.assert_allclose(found[:, 1], 0.7, atol=1e-4)


def test_the_head_is_ordered_by_the_part_that_matters_there():
    # Part 0 finds the likely tenth; inside it only part 1 decides, and the tail punishes part 1.
    rng = np.random.default_rng(2)
    situations, items = 800, 100
    features = np.zeros((2, situations, items), np.float32)
    features[0, :, :10] = 1.0
    features[1] = rng.normal(size=(situations, items))
    logits = 4 * features[0] + np.where(features[0] > 0, 2.0, -2.0) * features[1]
    chosen = np.zeros((situations, items), np.float32)
    chosen[np.arange(situations), (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)] = 1.0
    choices = Choices(features.reshape(2, -1), np.arange(situations) * items,
                      np.zeros(situations * items, np.float32), chosen.ravel(), np.full(situations, KNOTS[-1]))
    whole = fit_weights(choices, alike(np.zeros(2)), ridge=1.0, smooth=30.0)
    nothing = np.zeros(choices.features.shape[1], bool)
    head = fit_head(choices, whole, seen=nothing, top=10, ridge=1.0, smooth=30.0, share=1.0)
    assert head[FULL, 1] / head[FULL, 0] > 1.1 * whole[FULL, 1] / whole[FULL, 0]
    for factor in (0.9, 1.1):
        assert log_likelihood(choices, head * factor)[0].sum() < log_likelihood(choices, head)[0].sum()
    unmoved = fit_head(choices, whole, seen=nothing, top=10, ridge=1.0, smooth=30.0, share=0.0)
    np.testing.assert_allclose(unmoved, whole, rtol=1e-2)


def test_candidates_stand_for_the_whole_catalogue_and_hold_every_target():
    pilot = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    worst = np.argsort(pilot)[:3]
    items, weight = sample_candidates(pilot, worst, 100, 50, np.random.default_rng(1))
    assert np.isin(worst, items).all() and np.isin(np.argsort(-pilot)[:100], items).all()
    assert (np.diff(items) > 0).all()
    np.testing.assert_allclose(np.exp(weight.astype(np.float64)).sum(), 5000, rtol=1e-4)
