"""Do changed copies of the shots help a few-shot task? An ablation on the dev file of Bitext's service utterances.

Every shot stands beside copies that lost words, or letters, or stand in a template, or that were pushed toward the nearest other
class in the encoder's space. Asked are the dev texts as they are and with one random edit each. The test file is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adaptations.classes import LabelledTexts, draw_shots
from benchmarks.languages.esci import mistype
from benchmarks.languages.intents import KeptVectors, Tables, kept_encoder, missing, read_intents
from benchmarks.record import Bar
from recsys_core.errors import RecsysError
from recsys_core.metrics import paired_bootstrap
from recsys_core.tasks import fit_classes

SHOTS, DRAWS, COPIES = (8, 32), 6, 3
DROPPED, PUSHED = 0.2, 0.1  # share of words that a copy loses; length of the push, in vectors of length 1
TEMPLATES = ("a customer asks: {}", "please help, {}", "{} thank you")
Change = Callable[[str, int, np.random.Generator], str]


class Pushed:
    """An encoder that knows some texts at other places than it would read them."""

    def __init__(self, encoder: KeptVectors, places: dict[str, np.ndarray]) -> None:
        self.encoder, self.places, self.fingerprint = encoder, places, encoder.fingerprint

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d]."""
        return np.stack([self.places[text] if text in self.places else self.encoder.encode([text])[0] for text in texts])


def _drop(text: str, _: int, rng: np.random.Generator) -> str:
    words = text.split()
    kept = [word for word in words if rng.random() >= DROPPED]
    return " ".join(kept or words)


CHANGES: dict[str, Change] = {
    "words dropped": _drop, "one edit": lambda text, _, rng: mistype(text, rng),
    "words dropped, then one edit": lambda text, copy, rng: mistype(_drop(text, copy, rng), rng),
    "templates": lambda text, copy, _: TEMPLATES[copy % len(TEMPLATES)].format(text)}


def measure(_: Path) -> tuple[list[Bar], Tables]:
    """No bar, one table: accuracy with each kind of copies, and its difference to no copies over draws and texts.

    Raises:
        RecsysError: the data are absent.
    """
    if reason := missing():
        raise RecsysError("augmentation", reason, "then run again")
    intents = read_intents()
    encoder, (asked, truth) = kept_encoder(intents), intents.dev
    rng = np.random.default_rng(5)
    files = {"as they are": asked, "one edit each": [mistype(text, rng) for text in asked]}
    rows: list[dict[str, Any]] = []
    for shots in SHOTS:
        right: dict[tuple[str, str], list[np.ndarray]] = {}
        for seed in range(DRAWS):
            texts, labels = draw_shots(LabelledTexts(intents.train, intents.dev), shots, seed)
            for name, (reader, learned, named) in _ways(encoder, texts, labels, seed).items():
                adapter = fit_classes(reader, learned, named, task="an intent")
                for file, questions in files.items():
                    answers = np.array(adapter.labels)[adapter.probabilities(encoder, questions).argmax(axis=1)]
                    right.setdefault((name, file), []).append(answers == truth)
        for (name, file), found in right.items():
            gap = paired_bootstrap(np.mean(found, axis=0) - np.mean(right["none", file], axis=0), np.arange(len(truth)),
                                   np.random.default_rng(0))
            rows.append({"shots": shots, "copies": name, "asked": file, "accuracy": float(np.mean(found)), "gain": gap.mean,
                         "low": gap.low, "high": gap.high})
    return [], {"intents: copies of the shots, on the dev file": rows}


def _ways(encoder: KeptVectors, texts: list[str], labels: list[str], seed: int
          ) -> dict[str, tuple[KeptVectors | Pushed, list[str], list[str]]]:
    """Who reads the shots and which they are, by the kind of copies."""
    ways: dict[str, tuple[KeptVectors | Pushed, list[str], list[str]]] = {"none": (encoder, texts, labels)}
    for name, change in CHANGES.items():
        rng = np.random.default_rng([seed, len(texts)])
        copies = [change(text, copy, rng) for copy in range(COPIES) for text in texts]
        ways[name] = encoder, [*texts, *copies], labels * (COPIES + 1)
    hardest = {f"{text} ": place for text, place in zip(texts, _push(encoder, texts, labels), strict=True)}
    ways["pushed toward another class"] = Pushed(encoder, hardest), [*texts, *hardest], labels * 2
    return ways


def _push(encoder: KeptVectors, texts: Sequence[str], labels: list[str]) -> np.ndarray:
    """Vectors that moved where a linear classifier of the class means errs soonest (the fast gradient method, in closed form)."""
    vectors, classes = encoder.encode(list(texts)), np.unique(labels)
    own = np.searchsorted(classes, labels)
    means = np.stack([vectors[own == place].mean(axis=0) for place in range(len(classes))])
    scores = vectors @ means.T
    scores[np.arange(len(own)), own] = -np.inf
    toward = means[scores.argmax(axis=1)] - means[own]
    moved = vectors + PUSHED * toward / np.linalg.norm(toward, axis=1, keepdims=True)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)

