"""Weights of the ranker's parts: one conditional logit over the whole catalogue, solved by Newton's method.

P(next = i | history) = exp(Σ_p w_p(n) x_p(i)) / Σ_j exp(Σ_p w_p(n) x_p(j))   (McFadden 1974)

The weights depend on how many steps n of the shopper are known (`knots`); all knots are solved at once, neighbours pulled
together. The sum over j is kept exact for the candidates that carry the probability and estimated for the tail by a
uniform sample with its log correction (Bengio & Senécal 2008), so large catalogues fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recsys_core.interactions import knot_shares

STEPS = 50  # Newton steps at most; a handful is usual
LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.02)  # of a step, tried until one climbs


@dataclass(frozen=True)
class Choices:
    """n choice situations, flattened; R rows in all.

    Args:
        features: float32 [P, R].
        start: int64 [n], first row of each situation.
        log_weight: float32 [R], log of how many catalogue items a row stands for.
        chosen: float32 [R], 1/targets at the situation's targets, 0 elsewhere.
        steps: int64 [n], how many steps of the shopper are known.
    """

    features: np.ndarray
    start: np.ndarray
    log_weight: np.ndarray
    chosen: np.ndarray
    steps: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and one past the last row of each situation."""
        return list(pairwise([*self.start.tolist(), self.features.shape[1]]))

    def logits(self, weights: np.ndarray) -> np.ndarray:
        """float32 [R]: the score of every row, without its log weight.

        Args:
            weights: float [knots, P].
        """
        own = (knot_shares(self.steps) @ weights).astype(np.float32)
        return np.concatenate([row @ self.features[:, low:high]
                               for row, (low, high) in zip(own, self.bounds, strict=True)])


Situation = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # features [P, c], log weights [c], chosen [c], known steps


def sample_candidates(pilot: np.ndarray, needed: np.ndarray, top: int, tail: int,
                      rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pick the rows of one choice situation: the likely ones, the needed ones, and a sample of the rest.

    Args:
        pilot: float32 [N], a first guess of the score.
        needed: int [k], the targets and the history.
        top: candidates kept for sure.
        tail: how many of the others are drawn.
        rng: draws the others.

    Returns:
        items int64 [c] sorted, log_weight float32 [c]; exp(log_weight) sums to N.
    """
    count = len(pilot)
    if count <= top + tail:
        return np.arange(count), np.zeros(count, np.float32)
    sure = np.zeros(count, bool)
    sure[np.argpartition(-pilot, top - 1)[:top]] = True
    sure[needed] = True
    rest = np.flatnonzero(~sure)
    drawn = rng.choice(rest, min(tail, len(rest)), replace=False)
    items = np.concatenate([np.flatnonzero(sure), drawn])
    weight = np.zeros(len(items), np.float32)
    weight[sure.sum():] = np.log(len(rest) / max(len(drawn), 1))
    order = np.argsort(items)
    return items[order], weight[order]


def join_situations(situations: Iterable[Situation]) -> Choices:
    """Situations one after the other as `Choices`.

    Args:
        situations: at least one.
    """
    features, weights, chosen, steps = zip(*situations, strict=True)
    start = np.r_[0, np.cumsum([len(weight) for weight in weights])[:-1]].astype(np.int64)
    return Choices(np.concatenate(features, axis=1), start, np.concatenate(weights), np.concatenate(chosen),
                   np.array(steps, np.int64))


def log_likelihood(choices: Choices, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log P(targets) of every choice [n]; gradient [knots, P] and negative Hessian [knots, P, knots, P] of its sum."""
    (knots, count), shares = weights.shape, knot_shares(choices.steps).astype(np.float64)
    value, gradient, hessian = np.empty(len(choices)), np.zeros((knots, count)), np.zeros((knots, count, knots, count))
    own = (shares @ weights).astype(np.float32)
    for at, (low, high) in enumerate(choices.bounds):
        block, chosen = choices.features[:, low:high], choices.chosen[low:high]
        score = own[at] @ block
        logit = score + choices.log_weight[low:high]
        peak = logit.max()
        probability = np.exp(logit - peak)
        total = float(probability.sum(dtype=np.float64))
        probability /= np.float32(total)
        value[at] = float(chosen @ score) - np.log(total) - float(peak)
        weighted = block * probability
        mean = weighted.sum(axis=1, dtype=np.float64)
        slope, bend = block @ chosen - mean, weighted @ block.T - np.outer(mean, mean)
        near = np.flatnonzero(shares[at])  # the one or two knots beside this many steps
        for a in near:
            gradient[a] += shares[at, a] * slope
            for b in near:
                hessian[a, :, b, :] += shares[at, a] * shares[at, b] * bend
    return value, gradient, hessian


def fit_weights(choices: Choices, prior: np.ndarray, ridge: float, smooth: float) -> np.ndarray:
    """Maximise the log-likelihood less the pull towards the prior, by Newton's method.

    The pull is ½ Σ_p max(var_p, 0.05) · (ridge Σ_k d_kp² + smooth Σ_k (d_k+1,p − d_kp)²) with d = weights − prior: what
    shoppers with little and with much history have in common moves freely, what sets them apart must be shown.

    Args:
        choices: what shoppers chose, and from what.
        prior: float [knots, P], where weights stay that the data say nothing about.
        ridge: pull to the prior, in choices; relative to how much each part varies.
        smooth: pull between neighbouring knots, likewise.

    Returns:
        weights float64 [knots, P].
    """
    # The floor keeps a part that hardly varies (a trend without real times) from an enormous weight.
    scale = np.maximum(choices.features.var(axis=1, dtype=np.float64), 0.05)
    prior, pull = prior.astype(np.float64), _pull(len(prior), ridge, smooth)
    bend = np.einsum("ab,pq->apbq", pull, np.diag(scale))

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, hessian = log_likelihood(choices, at)
        away = pull @ (at - prior) * scale
        return float(value.sum()) - 0.5 * float(((at - prior) * away).sum()), gradient - away, hessian + bend

    weights, size = prior, prior.size
    value, gradient, hessian = objective(weights)
    for _ in range(STEPS):
        direction = np.linalg.solve(hessian.reshape(size, size), gradient.reshape(size)).reshape(prior.shape)
        if (gradient * direction).sum() < 1e-5 * len(choices):
            return weights
        for length in LENGTHS:
            candidate = objective(weights + length * direction)
            if candidate[0] > value:
                break
        else:
            return weights
        weights = weights + length * direction
        value, gradient, hessian = candidate
    return weights


def fit_head(choices: Choices, weights: np.ndarray, *, seen: np.ndarray, top: int, ridge: float, smooth: float,
             share: float) -> np.ndarray:
    """Move the weights part of the way to those that order the top of the list best.

    The likelihood spends its freedom on the long tail. Fitted again on each choice's `top` items alone
    (where they hold a target), the same logit learns the order a shopper sees: of the whole list, and once
    more of the list without what the shopper knows, which repeats would otherwise decide. One factor on all
    weights then restores the likelihood of the whole catalogue, so that the score stays a logit.

    Args:
        choices: what the weights were fitted on.
        weights: float [knots, P].
        seen: bool [R], rows whose item is in the situation's history.
        top: how many items of each list are the head.
        ridge: pull towards `weights`, in choices.
        smooth: pull between neighbouring knots, in choices.
        share: how far to move, 0 (not at all) to 1.
    """
    head = _heads(choices, choices.logits(weights), seen, top)
    if not head:
        return weights
    moved = weights + share * (fit_weights(join_situations(head), weights, ridge, smooth) - weights)
    return moved * _steepness(choices, choices.logits(moved))


def _steepness(choices: Choices, score: np.ndarray) -> float:
    """The factor on all scores [R] under which the choices are most likely; one-dimensional Newton steps from 1."""
    factor = 1.0
    for _ in range(STEPS):
        slope = bend = 0.0
        for low, high in choices.bounds:
            logit = factor * score[low:high] + choices.log_weight[low:high]
            probability = np.exp(logit - logit.max())
            probability /= probability.sum()
            mean = float(probability @ score[low:high])
            slope += float(choices.chosen[low:high] @ score[low:high]) - mean
            bend += float(probability @ score[low:high]**2) - mean**2
        step = slope / bend if bend > 0 else 0.0
        factor += float(np.clip(step, -0.5 * factor, factor))
        if abs(step) < 1e-5:
            break
    return factor


def _heads(choices: Choices, score: np.ndarray, seen: np.ndarray, top: int) -> list[Situation]:
    """The best items of each choice, and once more of those that are new to the shopper, where they hold a target."""
    found: list[Situation] = []
    for offered in (score, np.where(seen, -np.inf, score)) if seen.any() else (score,):
        for steps, (low, high) in zip(choices.steps.tolist(), choices.bounds, strict=True):
            keep = min(top, high - low)
            best = low + np.sort(np.argpartition(-offered[low:high], keep - 1)[:keep])
            best = best[offered[best] > -np.inf]
            if mass := float(choices.chosen[best].sum()):
                found.append((choices.features[:, best], np.zeros(len(best), np.float32), choices.chosen[best] / np.float32(mass),
                              steps))
    return found


def _pull(knots: int, ridge: float, smooth: float) -> np.ndarray:
    """float64 [knots, knots]: the quadratic form of `fit_weights` for one part."""
    between = np.diff(np.eye(knots), axis=0)
    return ridge * np.eye(knots) + smooth * between.T @ between
