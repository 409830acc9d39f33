"""A linear-chain conditional random field (Lafferty et al. 2001): which tag every token of a text has.

A tag's score is a sum over the token's features and of the step from the tag before. What is learned makes the examples'
tags likely, less a ridge. A text may have some of the tags only; the others cost it nothing.
Tags: 0 is outside, 2a + 1 begins a span of attribute a, 2a + 2 goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NEVER = -1e4  # the score of a step that cannot be
LEAST = -60.0  # below the best tag's score; less makes no difference and would underflow
BATCH = 16  # texts that a step is taken on, at most
STEPS = 16  # of an epoch over few texts
HIDDEN = -1  # the group of a text that is read as if its group were unknown
FIRST_STEP = 1e-2  # squared gradient that every sum begins with


@dataclass(frozen=True)
class Chain:
    """What was learned, T tags.

    Args:
        sparse: float32 [F, T], of a feature that a token has or has not.
        dense: float32 [d, T], of a token's vector.
        steps: float32 [T, T], from the tag before.
        start: float32 [T].
    """

    sparse: np.ndarray
    dense: np.ndarray
    steps: np.ndarray
    start: np.ndarray

    def spans(self, features: Sequence[Sequence[int]], further: np.ndarray, tags: np.ndarray, least: float, longest: int,
              ) -> list[tuple[int, int, int, float]]:
        """Every span that is at least so probable: attribute, first token, token after the last, probability.

        Args:
            features: of each of L ≥ 1 tokens, rows of `sparse`.
            further: float32 [L, T], scores from elsewhere.
            tags: int64 [t], ascending, those that the text may have.
            least: > 0.
            longest: tokens of a span, at most.
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


class _Reading(NamedTuple):
    """Forward and backward passes over n sequences, padded to L tokens; scaled so that forward · backward is a probability.

    Args:
        local: [n, L, t], exp of scores less their maximum.
        step: [t, t], exp of the steps.
        forward: [n, L, t].
        backward: [n, L, t].
        scale: [n, L].
    """

    local: np.ndarray
    step: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Sequences:
    """Tagged texts to learn from: n of them with N tokens, one text after another.

    Args:
        rows: int64 [R], features of the tokens, one token after another.
        ends: int64 [N + 1], where each token's begin and end.
        vectors: float32 [N, d].
        tags: int64 [N].
        lengths: int64 [n], tokens of each text, ≥ 1.
        group: int64 [n], which tags a text may have.
    """

    rows: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    tags: np.ndarray
    lengths: np.ndarray
    group: np.ndarray


def fit_chain(texts: Sequences, groups: Sequence[np.ndarray], shared: np.ndarray, rng: np.random.Generator, *, strength: float,
              epochs: int, rate: float, hidden: float) -> Chain:
    """Learn by AdaGrad (Duchi et al. 2011) over small batches; the rate falls to 0.

    Args:
        groups: the tags of each group, ascending, 0 among them; the first group has all tags.
        shared: bool [F], features that do not depend on the group.
        rng: orders the texts.
        strength: of the ridge.
        epochs: passes over the texts.
        rate: of the first step.
        hidden: share of the readings in which a text's group is unknown: features that are not shared are not seen, and
            all tags may follow.
    """
    width = len(groups[0])
    learned = Chain(np.zeros((len(shared), width), np.float32), np.zeros((texts.vectors.shape[1], width), np.float32),
                    np.zeros((width, width), np.float32), np.zeros(width, np.float32))
    steps = Chain(*(np.full_like(part, FIRST_STEP) for part in (learned.sparse, learned.dense, learned.steps, learned.start)))
    size = min(max(len(texts.lengths) // STEPS, 1), BATCH)
    in_all = -(-len(texts.lengths) // size)
    batches_with = np.minimum(np.bincount(texts.rows, minlength=len(shared)), in_all) + 1.0
    ridge = (strength / batches_with).astype(np.float32)
    begins = texts.lengths.cumsum() - texts.lengths
    for epoch in range(epochs):
        group = np.where(rng.random(len(begins)) < hidden, HIDDEN, texts.group)
        batches = _batches(group, texts.lengths, size, rng)
        for at, some in enumerate(batches):
            left, one = 1 - (epoch + at / len(batches)) / epochs, group[some[0]]
            batch = _Batch(texts, begins[some], texts.lengths[some], shared if one == HIDDEN else None)
            batch.step(learned, steps, groups[max(one, 0)], ridge, strength / in_all, rate * left)
    return learned


def _batches(group: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Texts of one group and of like length, in an order of chance."""
    order = rng.permutation(len(group))
    order = order[np.lexsort((lengths[order], group[order]))]
    found = []
    for one in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        found += np.array_split(one, -(-len(one) // size))
    return [found[at] for at in rng.permutation(len(found))]


class _Batch:
    """A few texts that may have the same tags, and one step towards them."""

    def __init__(self, texts: Sequences, begins: np.ndarray, lengths: np.ndarray, seen: np.ndarray | None) -> None:
        tokens = np.concatenate([np.arange(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)])
        counts = texts.ends[tokens + 1] - texts.ends[tokens]
        offsets = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        rows, token = texts.rows[np.repeat(texts.ends[tokens], counts) + offsets], np.repeat(np.arange(len(tokens)), counts)
        if seen is not None:
            rows, token = rows[seen[rows]], token[seen[rows]]
        self.rows, place = np.unique(rows, return_inverse=True)
        self.by_token = place, np.searchsorted(token, np.arange(len(tokens)))  # every token has a feature that is shared
        order = np.argsort(place, kind="stable")
        self.by_row = token[order], np.searchsorted(place[order], np.arange(len(self.rows)))
        self.vectors, self.tags = texts.vectors[tokens], texts.tags[tokens]
        first, width = lengths.cumsum() - lengths, np.arange(lengths.max())
        self.padded, self.mask = first[:, None] + np.minimum(width, lengths[:, None] - 1), width < lengths[:, None]

    def step(self, learned: Chain, steps: Chain, tags: np.ndarray, ridge: np.ndarray, dense_ridge: float, rate: float) -> None:
        """Move what was learned by one step, in place; `steps` are the sums of squared gradients."""
        own, pairs = np.ix_(self.rows, tags), np.ix_(tags, tags)
        sparse, dense = learned.sparse[own], learned.dense[:, tags]
        into, out_of = learned.steps[pairs], learned.start[tags]
        scores = np.add.reduceat(sparse[self.by_token[0]], self.by_token[1]) + self.vectors @ dense
        read = _read(scores[self.padded], self.mask, out_of + _barred_start(tags), into + _barred_steps(tags))
        chances = read.forward * read.backward
        residual = np.empty_like(scores)
        residual[self.padded[self.mask]] = chances[self.mask]
        place = np.searchsorted(tags, self.tags)
        residual[np.arange(len(place)), place] -= 1
        later = (read.local * read.backward / read.scale[:, :, None])[:, 1:] * self.mask[:, 1:, None]
        stepped = np.tensordot(read.forward[:, :-1], later, ((0, 1), (0, 1))) * read.step
        true = place[self.padded]
        np.subtract.at(stepped, (true[:, :-1][self.mask[:, 1:]], true[:, 1:][self.mask[:, 1:]]), 1)
        started = chances[:, 0].sum(axis=0) - np.bincount(true[:, 0], minlength=len(tags))
        for part, sums, where, gradient in (
                (learned.sparse, steps.sparse, own,
                 np.add.reduceat(residual[self.by_row[0]], self.by_row[1]) + ridge[self.rows, None] * sparse),
                (learned.dense, steps.dense, np.s_[:, tags], self.vectors.T @ residual + dense_ridge * dense),
                (learned.steps, steps.steps, pairs, stepped + dense_ridge * into),
                (learned.start, steps.start, tags, started + dense_ridge * out_of)):
            total = sums[where] + gradient * gradient
            sums[where] = total
            part[where] -= rate * gradient / np.sqrt(total)


def _read(scores: np.ndarray, mask: np.ndarray, start: np.ndarray, steps: np.ndarray) -> _Reading:
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
    return _Reading(local, step, forward, backward, scale)


def _probable_spans(read: _Reading, tags: np.ndarray, least: float, longest: int) -> list[tuple[int, int, int, float]]:
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
