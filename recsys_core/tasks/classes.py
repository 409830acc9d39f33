"""Few-shot classes of texts (product classes, intents of queries and utterances), solved instead of trained.

Model: p(c | x) = softmax(τ · W φ(x))_c, where φ(x) holds the frozen encoder's unit vector with weight √(1 − s), hashed
n-grams of characters and of words with weight √(s/2) each, and a 1. Where a text may have several classes, each class
stands against the rest. λ stays fixed, so the data's weight grows with the shots. A class's name is a text too and may
count as a further shot. Directions in which shots of one class differ may count less. Whether they do, whether names
count, the share s of lexical evidence and the temperature τ are chosen by leaving shots out, fold by fold; so is what
counts as "unsure". Learning and answering need NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation import check_lock, encoder_lock
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import AdapterError
from recsys_core.tasks.choice import Reading, choose_solution, gather_shots, learn, mixed_gram, solve_without, unsure_below
from recsys_core.tasks.ngrams import BUCKETS, SIZES, count_ngrams
from recsys_core.tasks.ridge import to_probabilities
from recsys_core.tasks.unknown import PLAIN, evidence, learn_unknown, left_out_evidence

FORMAT = 1
META, ARRAYS = "task.json", "task.safetensors"
FEATURES = [SIZES, BUCKETS]  # how n-grams are made
PARTS = ("theta", "columns", "idf", "weights", "bias", "shots", "usual", "known_by")


class ReadsTexts(Protocol):
    """What tasks need of an encoder."""

    @property
    def fingerprint(self) -> dict[str, Any]: ...

    def encode(self, texts: list[str]) -> np.ndarray: ...


class ClassConfig(BaseModel, frozen=True, extra="forbid"):
    """How classes are learned, and when no class is named."""

    strength: float = Field(0.03, gt=0, description="λ of the ridge; every text has length 1")
    lexical_shares: tuple[float, ...] = Field((0.2, 0.4, 0.6, 0.8), min_length=1,
                                              description="weights s of n-grams beside the vector, to choose among")
    shortenings: tuple[float, ...] = Field((30,), description="γ, of directions in which shots of one class differ, to try")
    read_names: bool = Field(True, description="let the name of a class count as a shot, where that pays")
    precision: float = Field(0.95, gt=0, le=1, description="share of right answers among the sure ones")
    refused: float = Field(0.05, ge=0, lt=1, description="share of shots that may be taken for none of the classes")
    most_shots: int = Field(1024, ge=2, description="texts that are learned from; of more, as many of each class are left out")


@dataclass(frozen=True)
class ClassAdapter:
    """What a few labelled texts add to the encoder: a linear map to the classes' logits.

    Args:
        task: its name.
        labels: the C classes, sorted.
        lock: as of an `Adapter`, the features being those of this room.
        theta: float32 [d, C], of the text vector.
        columns: int64 [m], sorted, the buckets of the shots' n-grams.
        idf: float32 [m].
        weights: float32 [m, C].
        bias: float32 [C].
        shots: float16 [n, d], the shots' vectors.
        usual: float32 [m], the shots' mean n-grams.
        known_by: float64 [6], weights of the `evidence` that a text is of some class.
        settings: how it was made (shots, lexical share, temperature) and when it names no class; JSON.
    """

    task: str
    labels: tuple[str, ...]
    lock: dict[str, str]
    theta: np.ndarray
    columns: np.ndarray
    idf: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    shots: np.ndarray
    usual: np.ndarray
    known_by: np.ndarray
    settings: dict[str, Any]

    def probabilities(self, encoder: ReadsTexts, texts: Sequence[str]) -> np.ndarray:
        """float64 [n, C]; rows sum to 1 unless a text may have several classes.

        Args:
            encoder: the one it was made with.
            texts: n texts.
        """
        return to_probabilities(self._read(encoder, texts)[1], self.settings["several"])

    def predict(self, encoder: ReadsTexts, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Classes with their probabilities, the most probable first; none where the answer is unsure or a text unknown.

        Args:
            encoder: the one it was made with.
            texts: n texts.
        """
        vectors, logits, usual = self._read(encoder, texts)
        several, found = self.settings["several"], to_probabilities(logits, self.settings["several"])
        named = (found >= self.settings["unsure_below"]) & ~self._unknown(vectors, logits, usual)[:, None]
        return [[(self.labels[at], float(row[at])) for at in np.argsort(-row, kind="stable")[:None if several else 1].tolist()
                 if sure[at]] for row, sure in zip(found, named, strict=True)]

    def unknown(self, encoder: ReadsTexts, texts: Sequence[str]) -> np.ndarray:
        """bool [n]: texts of none of the classes.

        Args:
            encoder: the one it was made with.
            texts: n texts.
        """
        return self._unknown(*self._read(encoder, texts))

    def _read(self, encoder: ReadsTexts, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors float32 [n, d], logits float32 [n, C], and how usual the n-grams are, float32 [n]."""
        vectors = encoder.encode(list(texts))
        lexical = count_ngrams(texts).weigh(self.columns, self.idf).times(np.column_stack([self.weights, self.usual]))
        return vectors, vectors @ self.theta + lexical[:, :-1] + self.bias, lexical[:, -1]

    def _unknown(self, vectors: np.ndarray, logits: np.ndarray, usual: np.ndarray) -> np.ndarray:
        known = evidence(logits, vectors, self.shots.astype(np.float32), usual) @ self.known_by
        return np.asarray(known < self.settings["unknown_below"])

    def save(self, folder: Path) -> None:
        """Write task.json and task.safetensors, atomically."""
        from safetensors.numpy import save_file

        with staged_folder(Path(folder)) as staging:
            save_file({name: getattr(self, name) for name in PARTS}, str(staging / ARRAYS))
            write_json(staging / META, {"format": FORMAT, "task": self.task, "labels": list(self.labels),
                                        "lock": self.lock, "settings": self.settings})

    @classmethod
    def load(cls, folder: Path, encoder: ReadsTexts) -> ClassAdapter:
        """Read classes made with exactly this encoder.

        Raises:
            AdapterError: another format, another encoder (what differs is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder, fix = Path(folder), "adapt the task again"
        meta = read_json(folder / META)
        if meta.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {meta.get('format')}, this version reads {FORMAT}", fix)
        check_lock(f"task {folder.name}", meta.get("lock", {}), encoder_lock(encoder, FEATURES))
        try:
            adapter = cls(meta["task"], tuple(meta["labels"]), meta["lock"], settings=meta["settings"],
                          **load_file(str(folder / ARRAYS)))
            adapter._check()
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        return adapter

    def _check(self) -> None:
        classes, ngrams = len(self.labels), len(self.columns)
        shapes = [self.theta.shape[1:], self.idf.shape, self.weights.shape, self.bias.shape, self.shots.shape[1:],
                  self.usual.shape, self.known_by.shape]
        if shapes != [(classes,), (ngrams,), (ngrams, classes), (classes,), self.theta.shape[:1], (ngrams,), PLAIN.shape]:
            raise ValueError(f"shapes {shapes} do not fit {classes} classes and {ngrams} n-grams")
        if not all(np.isfinite(getattr(self, name)).all() for name in PARTS):
            raise ValueError("some of its values are not finite")


def fit_classes(encoder: ReadsTexts, texts: Sequence[str], labels: Sequence[str], config: ClassConfig | None = None, *,
                task: str) -> ClassAdapter:
    """Learn classes from labelled texts: one forward pass of the encoder, then milliseconds to seconds of algebra.

    Args:
        encoder: reads the texts.
        texts: n texts, none empty; a text with several classes comes once with each.
        labels: the class of each, a non-empty string.
        config: how to learn; None is the default.
        task: its name.

    Raises:
        AdapterError: fewer than two classes, an empty text, a label that is no string, or lists of different length.
    """
    _check_rows(task, texts, labels)
    config = config or ClassConfig()
    shots = gather_shots(texts, labels, config.most_shots)
    counts = count_ngrams(shots.texts)
    columns, seen_in = np.unique(counts.column, return_counts=True)
    idf = (np.log((1 + len(shots.texts)) / (1 + seen_in)) + 1).astype(np.float32)
    vectors, lexical = encoder.encode(shots.texts), counts.weigh(columns, idf)
    semantic, likeness = vectors.astype(np.float64) @ vectors.T, lexical.gram(len(columns))
    first = choose_solution(semantic, likeness, shots, config.strength, [
        Reading(names, share, 0) for names in ((True, False) if config.read_names else (False,))
        for share in config.lexical_shares])
    best = choose_solution(semantic, likeness, shots, config.strength, [
        replace(first.reading, shorten=shorten) for shorten in (0, *config.shortenings)])
    share, gram = best.reading.share, mixed_gram(semantic, likeness, best.reading.share)
    dual = best.temperature * learn(gram, shots, best.reading, config.strength)
    weights = np.concatenate([block.T @ dual for block in lexical.blocks(len(columns))])
    kept, own = vectors[:shots.count].astype(np.float16), likeness[:shots.count, :shots.count]
    usual = np.concatenate([block[:shots.count].mean(axis=0) for block in lexical.blocks(len(columns))])
    seen = left_out_evidence(best.left_out, kept.astype(np.float32), own)
    solve = solve_without(gram, shots, best.reading, config.strength)
    known_by = learn_unknown(seen, shots.target[:shots.count] > 0, kept.astype(np.float32), own,
                             lambda rows, classes: best.temperature * solve(rows, classes))
    return ClassAdapter(
        task, shots.labels, encoder_lock(encoder, FEATURES), ((1 - share) * vectors.T @ dual).astype(np.float32), columns, idf,
        (share / 2 * weights).astype(np.float32), dual.sum(axis=0).astype(np.float32), kept, usual, known_by,
        {"shots": shots.count, "several": shots.several, "lexical_share": share, "names": best.reading.names,
         "shorten": best.reading.shorten, "temperature": best.temperature,
         "unsure_below": unsure_below(best, shots, config.precision),
         "unknown_below": float(np.quantile(seen @ known_by, config.refused))})


def _check_rows(task: str, texts: Sequence[str], labels: Sequence[str]) -> None:
    where = f"labels of task {task!r}"
    if len(texts) != len(labels):
        raise AdapterError(where, f"{len(texts)} texts and {len(labels)} labels", "give every text one label")
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not isinstance(text, str) or not text.strip():
            raise AdapterError(where, f"row {row} has no text ({text!r})", "remove the row, or give its text")
        if not isinstance(label, str) or not label.strip():
            raise AdapterError(where, f"row {row} has the label {label!r}", "labels are non-empty strings")
    if len(set(labels)) < 2:
        raise AdapterError(where, f"{len(set(labels))} class in {len(texts)} rows", "label texts of at least two classes")
    if len(set(texts)) < 2:
        raise AdapterError(where, "all rows have the same text", "label at least two texts")
