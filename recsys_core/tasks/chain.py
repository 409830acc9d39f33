"""A linear-chain conditional random field (Lafferty et al. 2001): which tag every token of a text has.

A tag's score is a sum over the token's features, and over the step from the tag before. Learning is the maximum of the
likelihood less a ridge (L-BFGS). A sequence may take some of the tags only; the others cost it nothing.
Tags: 0 is outside, 2a + 1 begins a span of attribute a, 2a + 2 goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEVER = -1e4  # the score of a step that cannot be
LEAST = -60.0  # below the best tag's score; less makes no difference and would underflow
BATCH = 64  # sequences of like length that are read together
MEMORY = 6  # steps that L-BFGS remembers


@dataclass(frozen=True)
class Chain:
    """What was learned, T tags.

    Args:
        sparse: float32 [F, T], of a feature that a token has or has not. dense: float32 [d, T], of a token's vector.
        steps: float32 [T, T], from the tag before. start: float32 [T].
    """

    sparse: np.ndarray
    dense: np.ndarray
    steps: np.ndarray
    start: np.ndarray

    def spans(self, features: Sequence[Sequence[int]], further: np.ndarray, tags: np.ndarray, least: float, longest: int,
              ) -> list[tuple[int, int, int, float]]:
        """Every span that is at least so probable: attribute, first token, token after the last, probability.

        Args:
            features: of each of L ≥ 1 tokens, rows of `sparse`. further: float32 [L, T], scores from elsewhere.
            tags: int64 [t], ascending, those that the text may have. least: > 0. longest: tokens of a span, at most.
        """
        lengths = np.array([len(one) for one in features])
        scores = np.zeros((len(features), len(self.start)), np.float32)
        if lengths.sum():
            known = np.flatnonzero(lengths)
            rows = self.sparse[np.concatenate([np.asarray(one, np.int64) for one in features])]
            scores[known] = np.add.reduceat(rows, (lengths.cumsum() - lengths)[known])
        scores = (scores + further)[:, tags]
        start, steps = self.start[tags] + _barred_start(tags), self.steps[np.ix_(tags, tags)] + _barred_steps(tags)
        return _probable_spans(_read(scores[None], np.ones((1, len(scores)), bool), start, steps), tags, least, longest)


class Reading(NamedTuple):
    """Forward and backward passes over n sequences, padded to L tokens; scaled so that forward · backward is a probability.

    Args:
        local: [n, L, t], exp of scores less their maximum. step: [t, t], exp of the steps. forward, backward: [n, L, t].
        scale: [n, L]. log_total: float, summed over sequences.
    """

    local: np.ndarray
    step: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    scale: np.ndarray
    log_total: float


def fit_chain(features: csr_matrix, vectors: np.ndarray, tags: np.ndarray, lengths: np.ndarray, groups: Sequence[np.ndarray],
              group_of: np.ndarray, *, strength: float, step_strength: float, iterations: int) -> Chain:
    """Learn from tagged sequences.

    Args:
        features: float32 [N, F], a row per token, sequence after sequence. vectors: float32 [N, d]. tags: int64 [N].
        lengths: int64 [n], tokens of each sequence, ≥ 1. groups: the tags that sequences may have, ascending, 0 among them.
        group_of: int64 [n]. strength, step_strength: of the ridges. iterations: of L-BFGS, at most.
    """
    from scipy.optimize import minimize

    begins = lengths.cumsum() - lengths
    parts = [_Part(features, vectors, tags, lengths[found], begins[found], allowed)
             for place, allowed in enumerate(groups) if len(found := np.flatnonzero(group_of == place))]
    width = 1 + max(int(allowed.max()) for allowed in groups)
    shapes = [(features.shape[1], width), (vectors.shape[1], width), (width, width), (width,)]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    ridges = np.repeat(np.array([strength, strength, step_strength, step_strength], np.float32), np.diff(ends, prepend=0))

    def unpack(flat: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        flat = flat.astype(np.float32)
        gradient = ridges * flat
        total = 0.5 * float(gradient @ flat)
        into = unpack(gradient)
        for part in parts:
            total += part.add(unpack(flat), into)
        return total, gradient.astype(np.float64)

    found = minimize(loss, np.zeros(ends[-1]), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": MEMORY})
    return Chain(*unpack(found.x.astype(np.float32)))


class _Part:
    """The sequences that may have the same tags, and what they add to loss and gradient."""

    def __init__(self, features: csr_matrix, vectors: np.ndarray, tags: np.ndarray, lengths: np.ndarray, begins: np.ndarray,
                 allowed: np.ndarray) -> None:
        rows = np.concatenate([np.arange(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)])
        chosen = features[rows]
        self.columns = np.unique(chosen.indices)
        self.features = chosen[:, self.columns]
        self.turned = self.features.T.tocsr()
        self.vectors, self.allowed = vectors[rows], allowed
        place = np.searchsorted(allowed, tags[rows])
        self.target = np.zeros((len(rows), len(allowed)), np.float32)
        self.target[np.arange(len(rows)), place] = 1
        first = np.zeros(len(rows), bool)
        begins = lengths.cumsum() - lengths
        first[begins] = True
        self.start = np.bincount(place[first], minlength=len(allowed))
        self.steps = np.zeros((len(allowed), len(allowed)))
        np.add.at(self.steps, (place[np.flatnonzero(~first) - 1], place[~first]), 1)
        order = np.argsort(lengths, kind="stable")
        self.batches = [(begins[some][:, None] + np.minimum(np.arange(lengths[some].max()), lengths[some][:, None] - 1),
                         np.arange(lengths[some].max()) < lengths[some][:, None])
                        for some in np.array_split(order, -(-len(order) // BATCH))]

    def add(self, weights: list[np.ndarray], gradient: list[np.ndarray]) -> float:
        """The negative log-likelihood; its gradient is added in place."""
        sparse, dense, steps, start = weights
        own, pairs = np.ix_(self.columns, self.allowed), np.ix_(self.allowed, self.allowed)
        scores = self.features @ sparse[own] + self.vectors @ dense[:, self.allowed]
        into, out_of = steps[pairs], start[self.allowed]
        loss = -float((scores * self.target).sum() + (into * self.steps).sum() + (out_of * self.start).sum())
        residual, stepped, started = -self.target, -self.steps, -self.start.astype(float)
        for rows, mask in self.batches:
            read = _read(scores[rows], mask, out_of + _barred_start(self.allowed), into + _barred_steps(self.allowed))
            loss += read.log_total
            chances = read.forward * read.backward
            residual[rows[mask]] += chances[mask]
            started += chances[:, 0].sum(axis=0)
            later = (read.local * read.backward / read.scale[:, :, None])[:, 1:] * mask[:, 1:, None]
            stepped += np.einsum("nlt,nlu->tu", read.forward[:, :-1], later, optimize=True) * read.step
        gradient[0][own] += self.turned @ residual
        gradient[1][:, self.allowed] += self.vectors.T @ residual
        gradient[2][pairs] += stepped
        gradient[3][self.allowed] += started
        return loss


def _read(scores: np.ndarray, mask: np.ndarray, start: np.ndarray, steps: np.ndarray) -> Reading:
    """Both passes over scores [n, L, t]; tokens outside the mask, at the ends, change nothing."""
    highest = scores.max(axis=2, keepdims=True)
    local, step = np.exp(np.maximum(scores - highest, LEAST)), np.exp(steps)
    forward, backward = np.zeros_like(local), np.ones_like(local)
    scale = np.ones(mask.shape, local.dtype)
    for at in range(scores.shape[1]):
        found = local[:, at] * (np.exp(start) if at == 0 else forward[:, at - 1] @ step)
        scale[:, at] = np.where(mask[:, at], found.sum(axis=1), 1)
        forward[:, at] = np.where(mask[:, at, None], found / scale[:, at, None], forward[:, at - 1])
    for at in range(scores.shape[1] - 2, -1, -1):
        found = (local[:, at + 1] * backward[:, at + 1] / scale[:, at + 1, None]) @ step.T
        backward[:, at] = np.where(mask[:, at + 1, None], found, 1)
    total = float((np.log(scale, dtype=np.float64) * mask).sum() + (highest[:, :, 0] * mask).sum(dtype=np.float64))
    return Reading(local, step, forward, backward, scale, total)


def _probable_spans(read: Reading, tags: np.ndarray, least: float, longest: int) -> list[tuple[int, int, int, float]]:
    """What `Chain.spans` gives, of one sequence: a span's probability is that of its tags and of an end behind them."""
    local, forward, backward, scale = read.local[0], read.forward[0], read.backward[0], read.scale[0]
    begin = np.flatnonzero(tags % 2 == 1)
    inner = begin + 1  # a group with the first tag of an attribute has the second
    onward = local[:, inner] / scale[:, None]
    first, further = read.step[begin, inner], read.step[inner, inner]
    found = []
    for at in range(len(local)):
        chance, last, go_on = forward[at, begin], begin, first
        for end in range(at + 1, min(at + longest, len(local)) + 1):
            whole = chance * backward[end - 1, last]
            if whole.max(initial=0) < least:
                break
            stays = chance * go_on * onward[end] if end < len(local) else np.zeros(len(begin))
            ended = whole - (stays * backward[end, inner] if end < len(local) else 0)
            found += [(int(tags[begin[one]]) // 2, at, end, float(ended[one])) for one in np.flatnonzero(ended >= least)]
            chance, last, go_on = stays, inner, further
    return found


def _barred_start(tags: np.ndarray) -> np.ndarray:
    """float32 [t]: no text begins within a span."""
    return np.where((tags > 0) & (tags % 2 == 0), NEVER, 0).astype(np.float32)


def _barred_steps(tags: np.ndarray) -> np.ndarray:
    """float32 [t, t]: a span goes on only after its own attribute."""
    inner = (tags > 0) & (tags % 2 == 0)
    same = (tags[:, None] == tags) | (tags[:, None] == tags - 1)
    return np.where(inner & ~same, NEVER, 0).astype(np.float32)
