"""How far offsets are trusted: what was planted comes out, and what was not stays at 0."""

import numpy as np
import pytest

from recsys_core.adaptation.trust import Choice, fit_trust, make_choice
from recsys_core.interactions.knots import KNOTS, knot_shares


def choices(trust_at, n: int = 400, steps=KNOTS, features: int = 1, seed: int = 0, items: int = 40) -> list[Choice]:
    """Choices drawn from the model itself: `trust_at` (steps) gives the coefficients."""
    rng, found = np.random.default_rng(seed), []
    for known in steps:
        for _ in range(n):
            base, x = rng.normal(size=items).astype(np.float32), rng.normal(size=(features, items)).astype(np.float32)
            p = np.exp(base + np.atleast_1d(trust_at(known)) @ x)
            chosen = np.zeros(items, np.float32)
            chosen[rng.choice(items, p=p / p.sum())] = 1.0
            found.append(Choice(base, x, np.zeros(items, np.float32), chosen, known))
    return found


def test_a_planted_trust_is_found():
    trust = fit_trust(choices(lambda steps: 0.8))
    np.testing.assert_allclose(trust[:, 0], 0.8, atol=0.1)
    both = fit_trust(choices(lambda steps: [1.0, -0.5], features=2))
    np.testing.assert_allclose(both, np.tile([1.0, -0.5], (len(KNOTS), 1)), atol=0.2)


def test_trust_falls_with_known_steps_where_the_history_already_tells():
    trust = fit_trust(choices(lambda steps: 1.0 if steps < 2 else 0.0), positive=True)[:, 0]
    assert trust[:2].min() > 0.85 and trust[2:].max() < 0.25


def test_values_below_zero_are_kept_or_cut():
    against = choices(lambda steps: -0.6, n=100)
    assert fit_trust(against).max() < -0.3
    assert (fit_trust(against, positive=True) == 0).all()


def test_few_choices_are_pulled_to_zero_and_to_their_neighbours():
    few = choices(lambda steps: 1.0, n=20, steps=(0,))
    loose, held = fit_trust(few, smooth=0.01), fit_trust(few, smooth=100.0)
    assert loose[0, 0] > 0.5 and abs(loose[-1, 0]) < 0.05
    assert np.ptp(held) < 0.2 and held[-1, 0] > 0.4
    assert fit_trust(few, ridge=1e6).max() < 0.01


def test_the_solution_is_a_maximum_and_the_same_every_time():
    some = choices(lambda steps: 0.7, n=20)
    trust = fit_trust(some, ridge=0.5, smooth=3.0)

    def value(at: np.ndarray) -> float:
        from recsys_core.adaptation.trust import _Problem
        problem = _Problem(some)
        step = np.diff(at[:, 0])
        own = problem._moments(problem.shares @ at)[0].sum()
        return own - problem.variance()[0] * (0.25 * (at**2).sum() + 1.5 * (step**2).sum())

    best = value(trust)
    assert all(value(trust + change) < best for change in 0.05 * np.random.default_rng(0).normal(size=(20, len(KNOTS), 1)))
    np.testing.assert_array_equal(fit_trust(some, ridge=0.5, smooth=3.0), trust)


def test_no_choices_no_trust():
    assert (fit_trust([]) == np.zeros((len(KNOTS), 1))).all()


def test_a_choice_keeps_what_it_needs_and_weighs_the_rest():
    rng, n = np.random.default_rng(0), 5000
    base, offsets = rng.normal(size=n).astype(np.float32), rng.normal(size=n).astype(np.float32)
    found = make_choice(base, offsets, np.array([7, 9]), np.array([11]), 3, rng, top=50, lifted=30, tail=40)
    assert found.steps == 3 and found.features.shape == (1, len(found.base))
    assert 50 + 40 <= len(found.base) <= 50 + 30 + 3 + 40
    assert found.chosen.sum() == 1.0 and sorted(found.base[found.chosen > 0]) == sorted(base[[7, 9]])
    assert np.exp(found.log_weight).sum() == pytest.approx(n, rel=1e-4)
    assert set(np.sort(base)[-50:]) <= set(found.base) and set(np.sort(offsets)[-30:]) <= set(found.features[0])
    assert base[11] in found.base


def test_a_choice_stays_within_the_candidates():
    rng, inside = np.random.default_rng(0), np.arange(300) < 20
    found = make_choice(np.arange(300, dtype=np.float32), np.zeros(300, np.float32), np.array([4]), np.array([200]), 0, rng,
                        candidates=inside)
    assert found.base.tolist() == list(range(20)) and found.chosen.tolist() == [float(at == 4) for at in range(20)]


def test_known_steps_between_knots_share_their_trust():
    trust = fit_trust(choices(lambda steps: 0.8, n=200, steps=(3,)), ridge=0.01, smooth=0.01)
    assert float(knot_shares(np.array([3]))[0] @ trust[:, 0]) == pytest.approx(0.8, abs=0.1)
