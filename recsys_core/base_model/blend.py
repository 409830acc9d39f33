"""Weights of the ranker's parts: one conditional logit over the whole catalogue, solved by Newton's method.

P(next = i | history) = exp(Σ_p w_p x_p(i)) / Σ_j exp(Σ_p w_p x_p(j))   (McFadden 1974)

The sum over j is kept exact for the candidates that carry the probability and estimated for the tail by a
uniform sample with its log correction (Bengio & Senécal 2008), so large catalogues fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recsys_core.base_model.data import Queries


@dataclass(frozen=True)
class Choices:
    """n choice situations, flattened; R rows in all.

    Args:
        features: float32 [P, R]. start: int64 [n], first row of each situation.
        log_weight: float32 [R], log of how many catalogue items a row stands for.
        chosen: float32 [R], 1/targets at the situation's targets, 0 elsewhere.
    """

    features: np.ndarray
    start: np.ndarray
    log_weight: np.ndarray
    chosen: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def sample_candidates(pilot: np.ndarray, needed: np.ndarray, top: int, tail: int,
                      rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pick the rows of one choice situation: the likely ones, the needed ones, and a sample of the rest.

    Args:
        pilot: float32 [N], a first guess of the score. needed: int [k], the targets and the history.
        top: candidates kept for sure. tail: how many of the others are drawn.

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


def collect_choices(parts_of: Callable[[int], np.ndarray], queries: Queries, rows: np.ndarray,
                    pilot_weights: np.ndarray, *, top: int, tail: int, rng: np.random.Generator) -> Choices:
    """Evaluate the parts on the chosen queries and keep each one's candidates.

    Args:
        parts_of: (query row) -> float32 [P, N], the parts of one query.
        rows: which queries. pilot_weights: float [P], the guess that says which items are likely.
    """
    features, weights, chosen, lengths = [], [], [], []
    for row in rows:
        targets = queries.targets[queries.target_indptr[row]:queries.target_indptr[row + 1]]
        parts, past = parts_of(int(row)), queries.histories[row:row + 1].items
        items, weight = sample_candidates(pilot_weights.astype(np.float32) @ parts,
                                          np.concatenate([targets, past]), top, tail, rng)
        features.append(parts[:, items])
        weights.append(weight)
        chosen.append(np.isin(items, targets).astype(np.float32) / np.float32(len(targets)))
        lengths.append(len(items))
    start = np.r_[0, np.cumsum(lengths)[:-1]].astype(np.int64)
    return Choices(np.concatenate(features, axis=1), start, np.concatenate(weights), np.concatenate(chosen))


def log_likelihood(choices: Choices, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log P(targets) of every choice [n], and the gradient [P] and negative Hessian [P, P] of its sum."""
    count, rows = choices.features.shape
    value, gradient, hessian = np.empty(len(choices)), np.zeros(count), np.zeros((count, count))
    step = max(1, int(len(choices) * 500_000 / rows))
    bounds = np.r_[choices.start, rows]
    for first in range(0, len(choices), step):
        last = min(first + step, len(choices))
        low, high = bounds[first], bounds[last]
        begin = (bounds[first:last] - low).astype(np.int64)
        lengths = np.diff(bounds[first:last + 1])
        block, chosen = choices.features[:, low:high], choices.chosen[low:high]
        score = weights.astype(np.float32) @ block
        logit = score + choices.log_weight[low:high]
        peak = np.maximum.reduceat(logit, begin)
        probability = np.exp(logit - np.repeat(peak, lengths))
        total = np.add.reduceat(probability, begin, dtype=np.float64)
        probability /= np.repeat(total, lengths).astype(np.float32)
        value[first:last] = np.add.reduceat(chosen * score, begin, dtype=np.float64) - np.log(total) - peak
        weighted = block * probability
        mean = np.add.reduceat(weighted, begin, axis=1, dtype=np.float64)
        gradient += block @ chosen - mean.sum(axis=1)
        hessian += weighted @ block.T - mean @ mean.T
    return value, gradient, hessian


def fit_weights(choices: Choices, prior: np.ndarray, ridge: float) -> np.ndarray:
    """Maximise the log-likelihood - ridge/2 · Σ_p max(var_p, 0.05) · (w_p - prior_p)², by Newton's method.

    Args:
        prior: float [P], where weights stay that the data say nothing about.
        ridge: pull towards the prior, in choices; relative to how much each part varies.

    Returns:
        weights float64 [P].
    """
    # The floor keeps a part that hardly varies (a trend without real times) from an enormous weight.
    penalty = ridge * np.maximum(choices.features.var(axis=1, dtype=np.float64), 0.05)
    return _newton(choices, prior.astype(np.float64), prior, penalty)


def fit_head(choices: Choices, weights: np.ndarray, *, seen: np.ndarray, top: int, ridge: float,
             share: float) -> np.ndarray:
    """Move the weights part of the way to those that order the top of the list best.

    The likelihood spends its freedom on the long tail. Fitted again on each choice's `top` items alone
    (where they hold a target), the same logit learns the order a shopper sees: of the whole list, and once
    more of the list without what the shopper knows, which repeats would otherwise decide. One factor on all
    weights then restores the likelihood of the whole catalogue, so that the score stays a logit.

    Args:
        seen: bool [R], rows whose item is in the situation's history. ridge: pull towards `weights`, in
        choices. share: how far to move, 0 (not at all) to 1.
    """
    score = weights.astype(np.float32) @ choices.features
    bounds = np.r_[choices.start, len(score)]
    rows = []
    for offered in (score, np.where(seen, -np.inf, score)) if seen.any() else (score,):
        for low, high in pairwise(bounds.tolist()):
            keep = min(top, high - low)
            best = low + np.sort(np.argpartition(-offered[low:high], keep - 1)[:keep])
            best = best[offered[best] > -np.inf]
            if choices.chosen[best].any():
                rows.append(best)
    if not rows:
        return weights
    lengths = [len(best) for best in rows]
    flat, start = np.concatenate(rows), np.r_[0, np.cumsum(lengths)[:-1]].astype(np.int64)
    mass = np.repeat(np.add.reduceat(choices.chosen[flat], start), lengths)
    head = Choices(choices.features[:, flat], start, np.zeros(len(flat), np.float32), choices.chosen[flat] / mass)
    moved = weights + share * (fit_weights(head, weights, ridge) - weights)
    line = (moved.astype(np.float32) @ choices.features)[None]
    whole = Choices(line, choices.start, choices.log_weight, choices.chosen)
    return moved * _newton(whole, np.ones(1), np.ones(1), np.zeros(1))


def _newton(choices: Choices, weights: np.ndarray, prior: np.ndarray, penalty: np.ndarray,
            steps: int = 50) -> np.ndarray:
    """Damped Newton steps on the ridged log-likelihood until a step would gain next to nothing."""

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, hessian = log_likelihood(choices, at)
        away = at - prior
        return (float(value.sum()) - 0.5 * float(penalty @ away**2), gradient - penalty * away,
                hessian + np.diag(penalty))

    value, gradient, hessian = objective(weights)
    for _ in range(steps):
        direction = np.linalg.solve(hessian, gradient)
        if gradient @ direction < 1e-5 * len(choices):
            return weights
        for size in (1.0, 0.5, 0.25, 0.1, 0.02):
            candidate = objective(weights + size * direction)
            if candidate[0] > value:
                break
        else:
            return weights
        weights = weights + size * direction
        value, gradient, hessian = candidate
    return weights
