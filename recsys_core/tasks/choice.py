"""What labelled texts are learned from, which solution is taken, and when it names no class: all by leaving shots out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.tasks.ridge import solve_ridge, to_probabilities

TEMPERATURES = np.geomspace(0.5, 8, 25)
LEAST_DOUBT = 0.05  # left to an answer where no left-out shot shows how sure is sure enough


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
class Solution:
    """What was learned with one share of lexical evidence.

    Args:
        share: s. names: whether the classes' names count. dual: float64 [n + C, C], 0 for names that do not.
        temperature: τ. left_out: float64 [n, C], τ times the logits of each shot without it. loss: of the left-out shots.
    """

    share: float
    names: bool
    dual: np.ndarray
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
                    tried: Sequence[tuple[bool, float]]) -> Solution:
    """The solution whose left-out shots are best predicted.

    Args:
        semantic: float64 [n + C, n + C], inner products of the vectors.
        lexical: float64 [n + C, n + C], those of the n-grams.
        shots: what to learn from.
        strength: λ.
        tried: whether names count, and the share of lexical evidence.
    """
    found: list[Solution] = []
    for names, share in tried:
        rows = len(shots.target) if names else shots.count
        gram = (1 - share) * semantic[:rows, :rows] + share / 2 * lexical[:rows, :rows] + 1
        start = found[-1].dual[:rows] if found else np.zeros_like(shots.target[:rows])
        solved = solve_ridge(gram, shots.target[:rows], strength, shots.several, start)
        left_out = solved.left_out[:shots.count]
        losses = [_loss(left_out * t, shots) for t in TEMPERATURES]
        at = int(np.argmin(losses))
        dual = np.concatenate([solved.dual, np.zeros((len(shots.target) - rows, shots.target.shape[1]))])
        found.append(Solution(share, names, dual, float(TEMPERATURES[at]), left_out * TEMPERATURES[at], losses[at]))
    return min(found, key=lambda solution: solution.loss)


def unsure_below(solution: Solution, shots: Shots, precision: float) -> float:
    """The least probability at which so many of the left-out shots' answers are right.

    Args:
        solution: what was learned.
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
    least = float(probability[enough[-1]])
    return min(least, 0.5) if enough[-1] == len(right) - 1 else least  # where all may answer, nothing says how sure is too little


def unknown_below(solution: Solution, refused: float) -> float:
    """The logit that so many of the left-out shots do not reach with their likeliest class."""
    return float(np.quantile(solution.left_out.max(axis=1), refused))


def _loss(logits: np.ndarray, shots: Shots) -> float:
    """Mean negative log-likelihood of the left-out shots' classes."""
    p, truth = to_probabilities(logits, shots.several), shots.target[:shots.count] > 0
    if shots.several:
        return -float(np.log(np.where(truth, p, 1 - p) + 1e-12).sum(axis=1).mean())
    return -float(np.log(p[truth] + 1e-12).mean())
