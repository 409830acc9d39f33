"""Few-shot classes of texts (product classes, intents of queries and utterances), solved instead of trained.

Model: p(c | x) = softmax(τ · W φ(x))_c, where φ(x) holds the frozen encoder's unit vector with weight √(1 − s), hashed
n-grams of characters and of words with weight √(s/2) each, and a 1. W is multinomial ridge regression, maximise
Σ log p − λ|W|²/2, found in the eigenbasis of the shots' Gram matrix by accelerated steps with Böhning's (1992) bound on
the curvature: no learning rate, and the cost of n² × classes per step. λ stays fixed, so the data's weight grows with the
shots. A class's name is a text too and may count as a further shot. Whether it does, the share s of lexical evidence and
the temperature τ are chosen together by leaving each shot out (one Newton step away from the full solution, Rad &
Maleki 2020).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation import check_lock
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import AdapterError
from recsys_core.text_encoder import Encodes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FORMAT = 1
BUCKETS = 2**18  # of each kind of n-gram; a shop's shots hold some 10,000
NGRAMS = (("char_wb", (2, 5)), ("word", (1, 2)))
TEMPERATURES = np.geomspace(0.5, 8, 25)
CONVERGED = 1e-3  # of the largest coefficient


class ClassConfig(BaseModel, frozen=True, extra="forbid"):
    """How classes are learned, and when the answer is "unsure"."""

    strength: float = Field(0.03, gt=0, description="λ of the ridge; every text has length 1")
    lexical_shares: tuple[float, ...] = Field((0.2, 0.4, 0.6, 0.8), min_length=1,
                                              description="weights s of n-grams beside the vector, to choose among")
    read_names: bool = Field(True, description="let the name of a class count as a shot, where that pays")
    steps: int = Field(200, ge=1, description="of the solver, at most")
    unsure_below: float = Field(0.5, ge=0, le=1, description="probability under which no class is named")


@dataclass(frozen=True)
class ClassAdapter:
    """What a few labelled texts add to the encoder: a linear map to the classes' logits.

    Args:
        task: its name. labels: the C classes, sorted. lock: as of an `Adapter`, the features being those of this module.
        theta: float32 [d, C], of the text vector. columns: int64 [m], sorted, the buckets of the shots' n-grams.
        idf: float32 [m]. weights: float32 [m, C]. bias: float32 [C].
        settings: how it was made (shots, lexical share, temperature, threshold); JSON.
    """

    task: str
    labels: tuple[str, ...]
    lock: dict[str, str]
    theta: np.ndarray
    columns: np.ndarray
    idf: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    settings: dict[str, Any]

    def probabilities(self, encoder: Encodes, texts: Sequence[str]) -> np.ndarray:
        """float64 [n, C], rows sum to 1; `encoder` must be the one it was made with."""
        lexical = _weigh(_count_ngrams(texts), self.columns, self.idf)
        logits = encoder.encode(list(texts)) @ self.theta + lexical @ self.weights + self.bias
        return _softmax(logits.astype(np.float64))

    def predict(self, encoder: Encodes, texts: Sequence[str]) -> list[str | None]:
        """The most probable class of each text, None where it is less probable than the threshold: unsure."""
        found = self.probabilities(encoder, texts)
        return [self.labels[best] if row[best] >= self.settings["unsure_below"] else None
                for best, row in zip(found.argmax(axis=1), found, strict=True)]

    def save(self, folder: Path) -> None:
        """Write classes.json and classes.safetensors, atomically."""
        from safetensors.numpy import save_file

        with staged_folder(Path(folder)) as staging:
            save_file({name: getattr(self, name) for name in ("theta", "columns", "idf", "weights", "bias")},
                      str(staging / "classes.safetensors"))
            write_json(staging / "classes.json", {"format": FORMAT, "task": self.task, "labels": list(self.labels),
                                                  "lock": self.lock, "settings": self.settings})

    @classmethod
    def load(cls, folder: Path, encoder: Encodes) -> ClassAdapter:
        """Read classes made with exactly this encoder.

        Raises:
            AdapterError: another format, another encoder (what differs is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder, fix = Path(folder), "adapt the task again"
        meta = read_json(folder / "classes.json")
        if meta.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {meta.get('format')}, this version reads {FORMAT}", fix)
        check_lock(f"classes {folder.name}", meta.get("lock", {}), class_lock(encoder))
        try:
            adapter = cls(meta["task"], tuple(meta["labels"]), meta["lock"], settings=meta["settings"],
                          **load_file(str(folder / "classes.safetensors")))
            adapter._check()
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        return adapter

    def _check(self) -> None:
        classes, ngrams = len(self.labels), len(self.columns)
        shapes = [self.theta.shape[1:], self.idf.shape, self.weights.shape, self.bias.shape]
        if shapes != [(classes,), (ngrams,), (ngrams, classes), (classes,)]:
            raise ValueError(f"shapes {shapes} do not fit {classes} classes and {ngrams} n-grams")
        if not all(np.isfinite(part).all() for part in (self.theta, self.idf, self.weights, self.bias)):
            raise ValueError("some of its values are not finite")


@dataclass(frozen=True)
class _Solution:
    """Dual coefficients float64 [n + C, C] of shots and names at one lexical share, and how well it leaves shots out."""

    share: float
    names: bool
    dual: np.ndarray
    temperature: float
    loss: float


def class_lock(encoder: Encodes) -> dict[str, str]:
    """What classes are locked to: the encoder's weights and reading, its tokenizer, and this module's n-grams."""
    reading = {name: value for name, value in encoder.fingerprint.items() if name != "tokenizer"}
    digests = {name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
               for name, value in (("encoder", reading), ("features", [NGRAMS, BUCKETS]))}
    return {**digests, "tokenizer": encoder.fingerprint["tokenizer"]}


def adapt_classes(encoder: Encodes, texts: Sequence[str], labels: Sequence[str], config: ClassConfig, *,
                  task: str) -> ClassAdapter:
    """Learn classes from labelled texts: one forward pass of the encoder, then milliseconds to seconds of algebra.

    Args:
        texts: n texts, none empty. labels: the class of each, a non-empty string.

    Raises:
        AdapterError: fewer than two classes, an empty text, a label that is no string, or lists of different length.
    """
    _check_shots(task, texts, labels)
    classes, code = np.unique(np.array(labels), return_inverse=True)
    texts = [*texts, *(" ".join(name.replace("_", " ").split()).lower() for name in classes)]
    target = np.eye(len(classes))[[*code, *range(len(classes))]]
    counts = _count_ngrams(texts)
    columns = np.unique(counts.indices).astype(np.int64)
    seen_in = np.bincount(counts.indices, minlength=2 * BUCKETS)[columns]
    idf = (np.log((1 + len(texts)) / (1 + seen_in)) + 1).astype(np.float32)
    vectors, lexical = encoder.encode(texts), _weigh(counts, columns, idf)

    wide = vectors.astype(np.float64)
    best = _choose(wide @ wide.T, (lexical @ lexical.T).toarray().astype(np.float64), target, len(labels), config)
    scaled = best.dual * best.temperature
    return ClassAdapter(
        task, tuple(classes.tolist()), class_lock(encoder), ((1 - best.share) * vectors.T @ scaled).astype(np.float32),
        columns, idf, (best.share / 2 * (lexical.T @ scaled)).astype(np.float32), scaled.sum(axis=0).astype(np.float32),
        {"shots": len(labels), "lexical_share": best.share, "names": best.names, "temperature": best.temperature,
         "unsure_below": config.unsure_below})


def _check_shots(task: str, texts: Sequence[str], labels: Sequence[str]) -> None:
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


def _count_ngrams(texts: Sequence[str]) -> csr_matrix:
    """1 + log count of each text's n-grams, float32 [n, 2 · BUCKETS], characters before words."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    found = hstack([HashingVectorizer(analyzer=unit, ngram_range=size, n_features=BUCKETS, alternate_sign=False, norm=None,
                                      dtype=np.float32).transform(texts) for unit, size in NGRAMS], format="csr")
    found.data = 1 + np.log(found.data)
    return found


def _weigh(counts: csr_matrix, columns: np.ndarray, idf: np.ndarray) -> csr_matrix:
    """The known n-grams times their idf, float32 [n, m]; those of characters and those of words each of unit length per
    text, unknown ones included in it as the rarest: the less of a text is known, the less its n-grams say.
    """
    from scipy.sparse import diags, hstack
    from sklearn.preprocessing import normalize

    full = np.full(2 * BUCKETS, idf.max(initial=1), np.float32)
    full[columns] = idf
    weighed = (counts @ diags(full)).tocsr()
    return hstack([normalize(weighed[:, :BUCKETS]), normalize(weighed[:, BUCKETS:])], format="csr", dtype=np.float32)[:, columns]


def _choose(semantic: np.ndarray, lexical: np.ndarray, target: np.ndarray, shots: int, config: ClassConfig) -> _Solution:
    """The solution whose left-out shots are best predicted: with names or without, at which share and temperature.

    Args:
        semantic, lexical: float64 [n + C, n + C], inner products of the vectors and of the n-grams, shots before names.
        target: float64 [n + C, C], one-hot. shots: n.
    """
    truth, tried = target[:shots].astype(bool), []
    for names in (True, False) if config.read_names else (False,):
        rows = len(target) if names else shots
        dual = np.zeros_like(target[:rows])
        for share in config.lexical_shares:
            values, basis = np.linalg.eigh((1 - share) * semantic[:rows, :rows] + share / 2 * lexical[:rows, :rows] + 1)
            values = np.maximum(values, 1e-9)
            dual = _solve(values, basis, target[:rows], dual, config)
            left_out = _leave_out(values, basis, target[:rows], dual, config.strength)[:shots]
            losses = [-float(np.log(_softmax(left_out * t)[truth] + 1e-12).mean()) for t in TEMPERATURES]
            at = int(np.argmin(losses))
            full = np.concatenate([dual, np.zeros((len(target) - rows, target.shape[1]))])
            tried.append(_Solution(share, names, full, float(TEMPERATURES[at]), losses[at]))
    return min(tried, key=lambda solution: solution.loss)


def _solve(values: np.ndarray, basis: np.ndarray, target: np.ndarray, start: np.ndarray, config: ClassConfig) -> np.ndarray:
    """Dual coefficients float64 [n, C] of the regression, by accelerated bound steps (Nesterov 1983) from `start`.

    Args:
        values, basis: float64 [n], [n, n], the Gram matrix's eigenvalues and eigenvectors.
    """
    solution = ahead = basis.T @ start
    momentum, scale = 1.0, (values / 2 + config.strength)[:, None]
    for _ in range(config.steps):
        residual = target - _softmax(basis @ (values[:, None] * ahead))
        step = (basis.T @ residual - config.strength * ahead) / scale
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        found = ahead + step
        ahead, solution, momentum = found + (momentum - 1) / faster * (found - solution), found, faster
        if np.abs(step).max() < CONVERGED * np.abs(found).max():
            break
    return basis @ solution


def _leave_out(values: np.ndarray, basis: np.ndarray, target: np.ndarray, dual: np.ndarray, strength: float) -> np.ndarray:
    """Logits float64 [n, C] of each shot by the solution without it; every curvature p(1 − p) is taken as their mean."""
    logits = basis @ (values[:, None] * (basis.T @ dual))
    p = _softmax(logits)
    curvature = (p * (1 - p)).mean()
    leverage = (basis**2 @ (values / (curvature * values + strength)))[:, None]
    return logits - leverage / (1 - np.minimum(curvature * leverage, 0.999)) * (target - p)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)
