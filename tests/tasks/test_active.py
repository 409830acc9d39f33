"""Texts proposed for labelling: typical ones at first, then doubtful and different ones, each once."""

import numpy as np

from recsys_core.tasks.active import propose
from tests.adaptation.planted import NOUNS
from tests.tasks.test_classes import ENCODER, LABELS, TEXTS, adapt


class Clusters:
    """A direction per first word, the rest of a text moves it a little."""

    def encode(self, texts: list[str]) -> np.ndarray:
        rng = np.random.default_rng(0)
        place = {word: at for at, word in enumerate(["red", "blue", "green", "grey"])}
        found = np.stack([np.eye(8)[place[text.split()[0]]] + 0.005 * (1 + len(text)) * rng.normal(size=8) for text in texts])
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_without_labels_every_group_is_asked_for_large_ones_first():
    texts = [f"{word} {'x' * at}" for word, times in (("red", 3), ("blue", 20), ("green", 5), ("grey", 9)) for at in range(times)]
    chosen = propose(None, Clusters(), texts, 4)
    assert [texts[row].split()[0] for row in chosen] == ["blue", "grey", "green", "red"]


def test_doubtful_texts_come_before_sure_ones():
    two = {room: nouns for room, nouns in list(NOUNS.items())[:2]}
    rows = [row for row, label in enumerate(LABELS) if label in two]
    adapter = adapt([TEXTS[row] for row in rows], [LABELS[row] for row in rows])
    torn = [f"{one} {other}" for one, other in zip(*two.values(), strict=True)]
    chosen = propose(adapter, ENCODER, [*(TEXTS[row] for row in rows), *torn], len(torn))
    assert set(chosen) == set(range(len(rows), len(rows) + len(torn)))


def test_a_text_is_proposed_once_and_different_texts_first():
    texts = ["red mug", "red mug", "blue mug", "red lamp"]
    assert len(propose(None, ENCODER, texts, 4)) == 3
    two = propose(adapt(), ENCODER, ["red mug", "red mug", "big lamp"], 2)
    assert sorted(two) == [0, 2]


def test_nothing_to_choose_from():
    assert propose(None, ENCODER, [], 5) == propose(adapt(), ENCODER, [], 5) == []
    assert propose(None, ENCODER, ["mug"], 0) == []


def test_the_same_texts_give_the_same_proposals():
    assert propose(adapt(), ENCODER, TEXTS, 7) == propose(adapt(), ENCODER, TEXTS, 7)
    np.testing.assert_array_equal(propose(None, ENCODER, TEXTS, 7), propose(None, ENCODER, TEXTS, 7))
