"""Texts of none of the classes are told from those of the classes."""

import numpy as np

from recsys_core.tasks.unknown import PLAIN, evidence, learn_unknown, left_out_evidence

NOTHING = np.zeros((60, 60))  # likeness of n-grams, where there are none


def directions(rng: np.random.Generator, classes: np.ndarray, spread: float = 0.1) -> np.ndarray:
    found = np.eye(8)[classes] + rng.normal(size=(len(classes), 8)) * spread
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def solve_by_centres(vectors: np.ndarray, code: np.ndarray):
    """Cosines with the centres of the kept classes."""
    def solve(rows, kept):
        centres = np.stack([vectors[rows & (code == at)].mean(axis=0) for at in np.flatnonzero(kept)])
        return vectors[~rows] @ centres.T
    return solve


def test_a_shot_is_not_compared_with_itself():
    shots = directions(np.random.default_rng(0), np.array([0, 0, 1]))
    logits = np.zeros((3, 2))
    likeness = np.array([[1, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]])
    alone = left_out_evidence(logits, shots, likeness)
    for row in range(3):
        others = np.delete(likeness[row], row).mean(keepdims=True)
        np.testing.assert_allclose(
            alone[row], evidence(logits[[row]], shots[[row]], np.delete(shots, row, axis=0), others)[0], rtol=1e-6)
    assert alone[2, 2] < 0.5 < alone[0, 2]  # the only one of its class has no near neighbour


def test_unknown_directions_score_below_known_ones():
    rng = np.random.default_rng(1)
    code = np.arange(60) % 6
    shots = directions(rng, code)
    solve = solve_by_centres(shots, code)
    centres = np.stack([shots[code == at].mean(axis=0) for at in range(6)])
    known_by = learn_unknown(left_out_evidence(shots @ centres.T, shots, NOTHING), np.eye(6)[code] > 0, shots, NOTHING, solve)
    known, unknown = directions(rng, code), directions(rng, np.full(60, 7))
    score = [evidence(one @ centres.T, one, shots, NOTHING[0]) @ known_by for one in (known, unknown)]
    assert np.quantile(score[0], 0.05) > np.quantile(score[1], 0.95)


def test_with_two_classes_the_nearest_shot_decides():
    shots = directions(np.random.default_rng(0), np.array([0, 0, 1, 1]))
    known_by = learn_unknown(np.zeros((4, 6)), np.eye(2)[[0, 0, 1, 1]] > 0, shots, np.eye(4), lambda rows, kept: np.zeros((0, 1)))
    np.testing.assert_array_equal(known_by, PLAIN)


def test_no_texts_have_no_evidence():
    assert evidence(np.zeros((0, 2)), np.zeros((0, 8), np.float32), np.eye(8, dtype=np.float32), np.zeros(0)).shape == (0, 6)
