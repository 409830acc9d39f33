"""What is learned from, and when an answer is sure enough."""

import numpy as np
import pytest

from recsys_core.tasks.choice import Reading, Shots, Solution, gather_shots, unsure_below


def test_a_text_with_two_labels_is_one_shot_of_both():
    shots = gather_shots(["mug", "red mug", "mug", "mug"], ["kitchen", "kitchen", "gift", "kitchen"], most=9)
    assert shots.texts == ["mug", "red mug", "gift", "kitchen"] and shots.labels == ("gift", "kitchen") and shots.several
    np.testing.assert_array_equal(shots.target, [[1, 1], [0, 1], [1, 0], [0, 1]])
    assert not gather_shots(["mug", "mug", "lamp"], ["a", "a", "b"], most=9).several


def test_of_too_many_shots_each_class_keeps_its_share():
    labels = ["large"] * 90 + ["small"] * 10
    shots = gather_shots([str(row) for row in range(100)], labels, most=20)
    assert shots.count == 20
    np.testing.assert_array_equal(shots.target[:20].sum(axis=0), [18, 2])
    assert {"0", "89", "90", "99"} <= set(shots.texts)  # from the whole of each class, not its beginning


def test_names_are_read_as_words():
    assert gather_shots(["x", "y"], ["TRACK_order", "get  refund"], most=9).texts[2:] == ["track order", "get refund"]


def threshold(probability: list[float], right: list[bool], precision: float = 0.75) -> float:
    """Of two classes, the first of which is always the likelier."""
    p = np.array(probability)
    shots = Shots([*map(str, range(len(p))), "one", "two"], ("one", "two"), np.concatenate([
        np.where(np.array(right)[:, None], [[1, 0]], [[0, 1]]), np.eye(2)]), False)
    logits = np.stack([np.log(p / (1 - p)), np.zeros(len(p))], axis=1)
    return unsure_below(Solution(Reading(True, 0.5, 0.0), 1.0, logits, 0.0), shots, precision)


def test_sure_answers_are_as_precise_as_asked_for():
    assert threshold([0.9, 0.8, 0.7, 0.6], [True, True, False, False]) == pytest.approx(0.75)  # two of two, not two of three
    assert threshold([0.9, 0.8, 0.7, 0.6], [True, False, True, True]) == pytest.approx(0.5)  # three of four
    assert threshold([0.9, 0.8, 0.7, 0.6], [True, False, True, True], 1.0) == pytest.approx(0.85)
    assert threshold([0.9, 0.8], [False, False]) == pytest.approx(0.95)  # nothing shows how sure is sure enough
