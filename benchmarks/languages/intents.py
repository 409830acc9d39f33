"""Classes of texts where they are used for intents: Bitext's service utterances, all 27 intents.

Shots come from the train file; everything was chosen on the dev file; the figures are of the test file. Both sides start from
the same pretrained encoder: ours reads with its int8 form, SetFit trains it in float32. Texts are encoded once per encoder;
the time of ours counts encoding the shots. Finished trainings of SetFit are kept below var/bench.
"""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adaptations.classes import PYTHON, LabelledTexts, draw_shots, train_peer
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Bar
from recsys_core.artefacts import file_hash, staged_file
from recsys_core.distillation import export_onnx
from recsys_core.errors import RecsysError
from recsys_core.student import OnnxEncoder
from recsys_core.tasks import ClassAdapter, ClassConfig, fit_classes, propose
from recsys_core.text_encoder import EncoderConfig, load_encoder

log = logging.getLogger(__name__)

DATA = Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "intents"
OWN = PLACE / "intents"
SHOTS, DRAWS = 8, 4
HELD_OUT, UNKNOWN_DRAWS = 5, {SHOTS: 10, 0: 3}  # classes held out; shots of each class (0: all) → draws of classes
BATCH, ROUNDS, ACTIVE_DRAWS, POOL = 27, 6, 10, 2000  # labels asked for at a time, how often, from how many texts
NAME = "an intent"

Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Intents:
    """Utterances and their intents."""

    train: tuple[list[str], list[str]]
    dev: tuple[list[str], list[str]]
    test: tuple[list[str], list[str]]

    @property
    def texts(self) -> list[str]:
        """Of all files."""
        return [*self.train[0], *self.dev[0], *self.test[0]]


class KeptVectors:
    """An encoder whose vectors of given texts are kept on disk; others are encoded when asked for."""

    def __init__(self, encoder: OnnxEncoder, texts: Sequence[str], path: Path) -> None:
        self.encoder, self.fingerprint = encoder, encoder.fingerprint
        if not path.is_file():
            log.info("encoding %d texts", len(texts))
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged_file(path) as staging, open(staging, "wb") as handle:
                np.save(handle, encoder.encode(list(texts)))
        self._known = dict(zip(texts, np.load(path), strict=True))

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d]."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self.encoder.encode([text])[0]
        return np.stack([self._known[text] for text in texts])


def missing() -> str:
    """Why this part cannot be measured here; empty where it can."""
    if not PYTHON.is_file():
        return "SetFit's environment is absent: make bench-peers"
    return "" if DATA.is_dir() else f"{DATA} is absent; set RECSYS_DATA to the folder that holds intents"


def measure(bundle: Path) -> tuple[list[Bar], Tables]:
    """Bars and tables; no bundle is asked, because SetFit starts from the pretrained encoder.

    Raises:
        RecsysError: SetFit's environment or the data are absent.
    """
    if reason := missing():
        raise RecsysError("intents", reason, "then run again")
    intents = read_intents()
    encoder = kept_encoder(intents)
    parts = [part(encoder, intents) for part in (_against_setfit, _full, _unknown, _active)]
    return [bar for bars, _ in parts for bar in bars], {name: rows for _, tables in parts for name, rows in tables.items()}


def read_intents() -> Intents:
    """The three files."""
    parts = []
    for split in ("train", "dev", "test"):
        with open(DATA / f"{split}.csv", encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        parts.append(([row["utterance"] for row in rows], [row["intent"] for row in rows]))
    return Intents(*parts)


def judge(labels: Sequence[str], probabilities: np.ndarray, truth: Sequence[str]) -> dict[str, float]:
    """Accuracy, macro-F1, and the largest share of texts, the surest first, of which 95 in 100 are answered rightly.

    >>> judge(["a", "b"], np.array([[.9, .1], [.6, .4], [.2, .8]]), ["a", "b", "b"])["accuracy"]
    0.6666666666666666
    """
    answers, asked = np.array(labels)[probabilities.argmax(axis=1)], np.array(truth)
    right = answers == asked
    f1 = [2 * (right & (asked == name)).sum() / ((answers == name).sum() + (asked == name).sum()) for name in np.unique(asked)]
    sorted_right = right[np.argsort(-probabilities.max(axis=1), kind="stable")]
    precise = np.flatnonzero(np.cumsum(sorted_right) >= 0.95 * np.arange(1, len(right) + 1))
    return {"accuracy": float(right.mean()), "macro_f1": float(np.mean(f1)),
            "coverage_at_95": float((precise[-1] + 1) / len(right)) if len(precise) else 0.0}


def kept_encoder(intents: Intents) -> KeptVectors:
    """The pretrained encoder in int8; the vectors of all utterances are kept below var/bench."""
    folder = OWN / "onnx"
    if not (folder / "student.json").is_file():
        export_onnx(load_encoder(EncoderConfig(dtype="float32")), folder)
    encoder = OnnxEncoder.load(folder)
    return KeptVectors(encoder, intents.texts, OWN / f"{encoder.fingerprint['weights'][:12]}-{_digest()}.npy")


def _digest() -> str:
    return "-".join(file_hash(DATA / f"{split}.csv")[:6] for split in ("train", "dev", "test"))


def _told(adapter: ClassAdapter, encoder: KeptVectors, texts: list[str], truth: list[str]) -> dict[str, float]:
    """`judge`, and what the adapter names of its own accord."""
    named = [found[0][0] if found else None for found in adapter.predict(encoder, texts)]
    sure = [answer == label for answer, label in zip(named, truth, strict=True) if answer is not None]
    return {**judge(adapter.labels, adapter.probabilities(encoder, texts), truth),
            "sure": len(sure) / len(truth), "accuracy_when_sure": float(np.mean(sure)) if sure else 0.0}


def _against_setfit(encoder: KeptVectors, intents: Intents) -> tuple[list[Bar], Tables]:
    rows = [_draw(encoder, intents, seed) for seed in range(DRAWS)]
    ratios = [row["accuracy"] / row["setfit"] for row in rows]
    times = [row["setfit_cpu_s"] / row["cpu_s"] for row in rows]
    note = f"{SHOTS} shots of each of 27 intents, {DRAWS} draws; the span is the least and the most"
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return [
        Bar(f"intents.accuracy_over_setfit@{SHOTS}", mean["accuracy"] / mean["setfit"], ">=", 1, min(ratios), max(ratios), DRAWS,
            f"test accuracy {mean['accuracy']:.4f} over {mean['setfit']:.4f}; {note}"),
        Bar("intents.setfit_time_over_ours", float(np.median(times)), ">=", 100, min(times), max(times), DRAWS,
            f"processor seconds of training, one thread, encoding the shots counted; median; {note}"),
    ], {"intents: 8 shots of each, by draw": [{"draw": draw, **row} for draw, row in enumerate(rows)],
        "intents: 8 shots of each, mean": [mean]}


def _draw(encoder: KeptVectors, intents: Intents, seed: int) -> dict[str, float]:
    """One draw of shots: ours, SetFit and what costs nothing."""
    texts, labels = draw_shots(LabelledTexts(intents.train, intents.test), SHOTS, seed)
    asked, truth = intents.test
    fit_classes(encoder.encoder, texts[:2], ["a", "b"], task="warming up")
    began = time.process_time()
    adapter = fit_classes(encoder.encoder, texts, labels, task=NAME)
    seconds = time.process_time() - began
    words = fit_classes(encoder, texts, labels, ClassConfig(lexical_shares=(1.0,), read_names=False), task=NAME)
    names = encoder.encode([label.replace("_", " ") for label in adapter.labels])
    peer = train_peer("all-intents", texts, labels, [*intents.dev[0], *asked], seed)
    on_dev, on_test = np.split(np.array(peer["predicted"]), [len(intents.dev[0])])
    return {
        **_told(adapter, encoder, asked, truth), "setfit": float((on_test == truth).mean()),
        "words_alone": judge(words.labels, words.probabilities(encoder, asked), truth)["accuracy"],
        "nearest_name": judge(adapter.labels, encoder.encode(asked) @ names.T, truth)["accuracy"],
        "largest_class": max(map(truth.count, set(truth))) / len(truth),
        "dev_accuracy": judge(adapter.labels, adapter.probabilities(encoder, intents.dev[0]), intents.dev[1])["accuracy"],
        "dev_setfit": float((on_dev == intents.dev[1]).mean()), "cpu_s": seconds, "setfit_cpu_s": peer["cpu_seconds"]}


def _full(encoder: KeptVectors, intents: Intents) -> tuple[list[Bar], Tables]:
    began = time.process_time()
    adapter = fit_classes(encoder, *intents.train, task=NAME)
    row = {**_told(adapter, encoder, *intents.test), "shots": adapter.settings["shots"], "cpu_s": time.process_time() - began}
    return [Bar("intents.accuracy_full", row["accuracy"], ">=", 0.98, n=len(intents.test[0]),
                note=f"learned from {row['shots']:,} of {len(intents.train[0]):,} texts")], {
        "intents: all of the train file": [row]}


def _unknown(encoder: KeptVectors, intents: Intents) -> tuple[list[Bar], Tables]:
    rows: list[dict[str, Any]] = [{"shots": shots or "all", "draw": draw, **_refused(encoder, intents, shots, draw)}
                                  for shots, draws in UNKNOWN_DRAWS.items() for draw in range(draws)]
    bars = []
    for shots in UNKNOWN_DRAWS:
        own = [row for row in rows if row["shots"] == (shots or "all")]
        unknown, known = (float(np.mean([row[name] for row in own])) for name in ("unknown_refused", "known_refused"))
        spread = [row["unknown_refused"] for row in own]
        note = (f"{shots or 'all'} shots of each of {27 - HELD_OUT} intents, texts of {HELD_OUT} others asked; "
                f"{known:.3f} of the known are refused; the span is the least and the most")
        at = f"@{shots}" if shots else ""
        bars += [Bar(f"intents.unknown_refused{at}", unknown, ">=", 0.7, min(spread), max(spread), len(own), note),
                 Bar(f"intents.known_refused{at}", known, "<=", 0.05, n=len(own), note=note)]
    return bars, {"intents: texts of classes that were held out": rows}


def _refused(encoder: KeptVectors, intents: Intents, shots: int, draw: int) -> dict[str, float]:
    """What is refused of held-out and of known classes, by ours and by the probability alone at the same share of known ones."""
    names = sorted(set(intents.train[1]))
    out = set(np.random.default_rng([draw, HELD_OUT]).choice(names, HELD_OUT, replace=False).tolist())
    pool = [pair for pair in zip(*intents.train, strict=True) if pair[1] not in out]
    data = LabelledTexts(([text for text, _ in pool], [label for _, label in pool]), intents.test)
    adapter = fit_classes(encoder, *(draw_shots(data, shots, draw) if shots else data.pool), task=NAME)
    refused, known = adapter.unknown(encoder, intents.test[0]), ~np.isin(intents.test[1], list(out))
    surest = adapter.probabilities(encoder, intents.test[0]).max(axis=1)
    doubtful = surest < np.quantile(surest[known], refused[known].mean())
    return {"unknown_refused": float(refused[~known].mean()), "known_refused": float(refused[known].mean()),
            "by_probability": float(doubtful[~known].mean())}


def _active(encoder: KeptVectors, intents: Intents) -> tuple[list[Bar], Tables]:
    asked = np.mean([_curve(encoder, intents, draw, random=False) for draw in range(ACTIVE_DRAWS)], axis=0)
    drawn = np.mean([_curve(encoder, intents, draw, random=True) for draw in range(ACTIVE_DRAWS)], axis=0)
    labels = BATCH * np.arange(1, len(drawn) + 1)
    rising = np.maximum.accumulate(drawn)
    needed = [float(np.interp(reached, rising, labels)) for reached in asked]
    ratios = [need / own for need, own in zip(needed, labels, strict=False)]
    rows = [{"labels": int(own), "proposed": float(one), "random": float(other), "random_needs": need, "ratio": need / own}
            for own, one, other, need in zip(labels, asked, drawn, needed, strict=False)]
    return [Bar("labels.active_over_random", ratios[-1], ">", 1, min(ratios), max(ratios), ACTIVE_DRAWS,
                f"labels that random rows need for the test accuracy of {labels[len(asked) - 1]} proposed ones; means of "
                f"{ACTIVE_DRAWS} pools of {POOL:,} texts, nothing labelled at first; the span is over the curve's points")], {
        "intents: labels proposed and drawn at random": rows}


def _curve(encoder: KeptVectors, intents: Intents, draw: int, random: bool) -> list[float]:
    """Test accuracy after every batch of labels; twice as many batches where they are drawn at random."""
    rng = np.random.default_rng([draw, POOL])
    rows = rng.permutation(len(intents.train[0]))[:POOL].tolist()
    texts, labels = ([part[row] for row in rows] for part in intents.train)
    chosen: list[int] = []
    adapter, accuracies = None, []
    for _ in range(ROUNDS * (2 if random else 1)):
        rest = sorted(set(range(POOL)) - set(chosen))
        places = range(BATCH) if random else propose(adapter, encoder, [texts[row] for row in rest], BATCH)
        chosen += [rest[place] for place in places]  # the pool is in random order
        adapter = fit_classes(encoder, [texts[row] for row in chosen], [labels[row] for row in chosen], task=NAME)
        accuracies.append(judge(adapter.labels, adapter.probabilities(encoder, intents.test[0]), intents.test[1])["accuracy"])
    return accuracies
