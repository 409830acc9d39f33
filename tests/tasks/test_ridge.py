"""The ridge's solution."""

import numpy as np

from recsys_core.tasks.ridge import solve_ridge, to_probabilities

EVERYONE = np.arange(40)
CODE = EVERYONE % 4


def gram_of(rng: np.random.Generator) -> np.ndarray:
    features = np.c_[rng.normal(size=(40, 12)) + 1.2 * np.eye(4)[CODE] @ rng.normal(size=(4, 12)), np.ones(40)]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features @ features.T


def test_the_solution_is_where_the_slope_is_zero():
    gram, target = gram_of(np.random.default_rng(2)), np.eye(4)[CODE]
    for several in (False, True):
        dual = solve_ridge(gram, target, 0.03, several, 0)
        residual = target - to_probabilities(gram @ dual, several)
        np.testing.assert_allclose(0.03 * dual, residual, atol=0.01)


def test_probabilities_of_classes_that_exclude_each_other_sum_to_one_others_need_not():
    logits = np.array([[0.0, 0.0, 800.0], [-900.0, 1.0, 1.0]], np.float32)
    np.testing.assert_allclose(to_probabilities(logits, several=False).sum(axis=1), 1)
    np.testing.assert_allclose(to_probabilities(logits, several=True)[0], [0.5, 0.5, 1])


def test_shortened_directions_are_those_in_which_shots_of_a_class_differ():
    rng = np.random.default_rng(3)
    code = np.arange(12) % 2
    plain = np.c_[0.3 * np.eye(2)[code], rng.normal(size=(12, 3))]  # a class differs little, its shots differ much
    deviation = plain - np.eye(2)[code] @ np.stack([plain[code == at].mean(axis=0) for at in (0, 1)])
    metric = np.linalg.inv(np.eye(5) + 50 * deviation.T @ deviation)
    by_dual = plain @ plain.T @ solve_ridge(plain @ plain.T, np.eye(2)[code], 0.1, False, 50)
    changed = plain @ metric @ plain.T
    np.testing.assert_allclose(by_dual, changed @ solve_ridge(changed, np.eye(2)[code], 0.1, False, 0), atol=1e-8)
