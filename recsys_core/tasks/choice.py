"""What labelled texts are learned from, how it is learned, and when no class is named: all by leaving shots out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.tasks.ridge import solve_ridge, to_probabilities

TEMPERATURES = np.geomspace(0.5, 8, 25)
FOLDS, FEWER_FOLDS, FEW = 8, 4, 512  # of shots: eight up to this many shots, four of more
LEAST_DOUBT = 0.05  # of a sure answer where no left-out shot shows how sure is sure enough
EVEN = 0.5  # where all of them are right, this is sure enough


@dataclass(frozen=True)
class Shots:
    """n distinct texts, and the names of the C classes after them.

    Args:
        texts: n + C. labels: the classes, sorted. target: float64 [n + C, C], 0 or 1.
        several: whether some text has several classes.
    """

    texts: list[str]
    labels: tuple[str, ...]
    target: np.ndarray
    several: bool

    @property
    def count(self) -> int:
        """n."""
        return len(self.texts) - len(self.labels)


@dataclass(frozen=True)
class Reading:
    """How texts are compared.

    Args:
        names: whether the classes' names count. share: s, of lexical evidence.
        shorten: γ, of directions in which shots of one class differ.
    """

    names: bool
    share: float
    shorten: float


@dataclass(frozen=True)
class Solution:
    """How well something can be learned with one reading.

    Args:
        reading: which. temperature: τ.
        left_out: float64 [n, C], τ times the logits of each shot by a solution without its fold. loss: mean, of these.
    """

    reading: Reading
    temperature: float
    left_out: np.ndarray
    loss: float


def gather_shots(texts: Sequence[str], labels: Sequence[str], most: int) -> Shots:
    """Distinct texts with their classes; of more than `most`, each class keeps its share, spread over its rows.

    Args:
        texts: of each row.
        labels: of each row.
        most: texts to keep, at least one per class.
    """
    classes, code = np.unique(np.array(labels), return_inverse=True)
    found: dict[str, set[int]] = {}
    for text, own in zip(texts, code.tolist(), strict=True):
        found.setdefault(text, set()).add(own)
    target = np.zeros((len(found), len(classes)))
    for row, owners in enumerate(found.values()):
        target[row, sorted(owners)] = 1
    kept = np.arange(len(found))
    if len(found) > most:
        share, first = most / len(found), target.argmax(axis=1)
        kept = np.sort(np.concatenate([own[np.linspace(0, len(own) - 1, max(1, int(share * len(own)))).astype(int)]
                                       for own in (np.flatnonzero(first == at) for at in np.unique(first))]))
    names = [" ".join(name.replace("_", " ").split()).lower() for name in classes]
    every = list(found)
    return Shots([*(every[row] for row in kept), *names], tuple(classes.tolist()),
                 np.concatenate([target[kept], np.eye(len(classes))]), bool((target.sum(axis=1) > 1).any()))


def choose_solution(semantic: np.ndarray, lexical: np.ndarray, shots: Shots, strength: float,
                    tried: Sequence[Reading]) -> Solution:
    """The solution that predicts shots best which it was not given, fold by fold.

    Args:
        semantic: float64 [n + C, n + C], inner products of the vectors.
        lexical: float64 [n + C, n + C], those of the n-grams.
        shots: what to learn from.
        strength: λ.
        tried: what to choose among.
    """
    fold, every = _folds(shots), np.ones(len(shots.labels), bool)
    found: list[Solution] = []
    for reading in tried:
        solve = solve_without(mixed_gram(semantic, lexical, reading.share), shots, reading, strength)
        left_out = np.zeros((shots.count, len(shots.labels)))
        for at in range(int(fold.max()) + 1):
            left_out[fold == at] = solve(fold != at, every)
        losses = [_loss(left_out * t, shots) for t in TEMPERATURES]
        best = int(np.argmin(losses))
        found.append(Solution(reading, float(TEMPERATURES[best]), left_out * TEMPERATURES[best], losses[best]))
    return min(found, key=lambda solution: solution.loss)


def learn(gram: np.ndarray, shots: Shots, reading: Reading, strength: float) -> np.ndarray:
    """Dual coefficients float64 [n + C, C] of all shots and names, 0 for names that do not count.

    Args:
        gram: float64 [n + C, n + C].
        shots: what to learn from.
        reading: how texts are compared.
        strength: λ.
    """
    rows = len(shots.target) if reading.names else shots.count
    dual = np.zeros_like(shots.target)
    dual[:rows] = solve_ridge(gram[:rows, :rows], shots.target[:rows], strength, shots.several, reading.shorten)
    return dual


def _folds(shots: Shots) -> np.ndarray:
    """int64 [n]: each class's shots spread over the folds."""
    fold = np.zeros(shots.count, np.int64)
    order = np.argsort(shots.target[:shots.count].argmax(axis=1), kind="stable")
    fold[order] = np.arange(shots.count) % min(FOLDS if shots.count <= FEW else FEWER_FOLDS, shots.count)
    return fold


def unsure_below(solution: Solution, shots: Shots, precision: float) -> float:
    """The least probability at which so many of the left-out shots' answers are right.

    Args:
        solution: how the shots were answered.
        shots: from what.
        precision: share of right ones among the answers that are at least so probable.
    """
    p = to_probabilities(solution.left_out, shots.several)
    truth = shots.target[:shots.count].astype(bool)
    if not shots.several:
        best = p.argmax(axis=1)[:, None]
        p, truth = np.take_along_axis(p, best, axis=1), np.take_along_axis(truth, best, axis=1)
    order = np.argsort(-p, axis=None, kind="stable")
    probability, right = p.ravel()[order], truth.ravel()[order]
    enough = np.flatnonzero(np.cumsum(right) >= precision * np.arange(1, len(right) + 1))
    if not len(enough):
        return 1 - LEAST_DOUBT
    if enough[-1] == len(right) - 1:
        return min(float(probability[-1]), EVEN)
    return float(probability[enough[-1]:enough[-1] + 2].mean())


def solve_without(gram: np.ndarray, shots: Shots, reading: Reading, strength: float
                  ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What is learned without some shots and classes.

    Args:
        gram: float64 [n + C, n + C], at the solution's share.
        shots: what was learned from.
        reading: how texts are compared.
        strength: λ.

    Returns:
        from bool [n], the shots to learn from, and bool [C], their classes, to the logits float64 of all other shots.
    """
    def solve(rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        taken = np.flatnonzero(np.concatenate([rows, kept & reading.names]))
        target = shots.target[np.ix_(taken, np.flatnonzero(kept))]
        dual = solve_ridge(gram[np.ix_(taken, taken)], target, strength, shots.several, reading.shorten)
        return np.asarray(gram[np.ix_(np.flatnonzero(~rows), taken)] @ dual)

    return solve


def mixed_gram(semantic: np.ndarray, lexical: np.ndarray, share: float) -> np.ndarray:
    """Inner products of texts: (1 − s) of the vectors, s / 2 of n-grams of characters and of words each, and 1.

    Args:
        semantic: float64 [n, n], of the vectors.
        lexical: float64 [n, n], of both kinds of n-grams.
        share: s.
    """
    return np.asarray((1 - share) * semantic + share / 2 * lexical + 1)


def _loss(logits: np.ndarray, shots: Shots) -> float:
    """Mean negative log-likelihood of the left-out shots' classes."""
    p, truth = to_probabilities(logits, shots.several), shots.target[:shots.count] > 0
    if shots.several:
        return -float(np.log(np.where(truth, p, 1 - p) + 1e-12).sum(axis=1).mean())
    return -float(np.log(p[truth] + 1e-12).mean())
