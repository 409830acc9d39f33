"""How much meaning, words and popularity count in a search, learned from lists of graded answers.

A listwise softmax (Cao et al. 2007, ListNet with top-one probabilities): the share of the gain that a document of a query's list
has should be its share in the softmax of the weighted parts. With one clicked document a list it is McFadden's conditional logit
(1974). The weights are logits, so they add up with everything else that is learned by likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recsys_core.retrieval.lexical import LexicalIndex
from recsys_core.retrieval.search import EncodesQueries, SearchConfig

PARTS = ("text", "words", "popularity")
STEPS, SHORTEST_STEP = 50, 1e-4  # of Newton's method, and how little of one is taken
DEPTH = 10  # places that the NDCG of a list looks at
SPREAD = 0.5  # standard deviation of a weight around what it was, as a share of it
RIVALS = 100  # documents drawn from all that nobody graded, in each list as answers of no gain


@dataclass(frozen=True)
class Lists:
    """Documents of queries, and how good each is.

    Args:
        parts: float64 [R, 3], unweighted, in the order of `PARTS`.
        starts: int64 [Q+1], the rows of each query.
        gains: float64 [R], ≥ 0.
    """

    parts: np.ndarray
    starts: np.ndarray
    gains: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """float64 [R]: each document's share of its query's gain; 0 throughout a list without any."""
        each = np.repeat(_sums(self.gains, self.starts), np.diff(self.starts))
        return np.divide(self.gains, each, out=np.zeros_like(self.gains), where=each > 0)


@dataclass(frozen=True)
class Searched:
    """What lists are made over.

    Args:
        vectors: float32 [M, d], of the distinct texts.
        encoder: None where meaning is left out.
        lexical: of documents that have these texts.
        popularity: float32 [D], log share of the most popular item of each document.
    """

    vectors: np.ndarray
    encoder: EncodesQueries | None
    lexical: LexicalIndex
    popularity: np.ndarray

    def parts(self, query: str) -> np.ndarray:
        """float64 [D, 3]: a clean query's unweighted parts."""
        found = np.zeros((len(self.popularity), len(PARTS)))
        reading = self.lexical.read(query)
        if self.encoder is not None:
            found[:, 0] = self.lexical.documents.spread(self.vectors @ self.encoder.encode([reading.text])[0])
        words = self.lexical.scores(reading.terms)
        if words is not None:
            found[:, 1] = words
        found[:, 2] = self.popularity
        return found


def make_lists(asked: Mapping[str, Mapping[int, float]], searched: Searched, rng: np.random.Generator) -> Lists:
    """Graded documents of queries beside rivals drawn from all others.

    The best others would be no rivals: many of them answer the query, and nobody said so. Alternatives drawn evenly leave the
    weights of a conditional logit consistent (McFadden 1978).

    Args:
        asked: clean query → {row of a document: its gain}.
        searched: the catalogue.
        rng: draws the rivals.
    """
    rows, gains, sizes = [], [], []
    for query, graded in asked.items():
        parts = searched.parts(query)
        drawn = rng.choice(len(parts), min(RIVALS + len(graded), len(parts)), replace=False)
        chosen = [*graded, *[row for row in drawn.tolist() if row not in graded][:RIVALS]]
        rows.append(parts[chosen])
        gains.append([graded.get(row, 0.0) for row in chosen])
        sizes.append(len(chosen))
    return Lists(np.concatenate(rows) if rows else np.zeros((0, len(PARTS))), np.r_[0, np.cumsum(sizes)].astype(np.int64),
                 np.concatenate(gains) if gains else np.zeros(0))


def _weights_of(config: SearchConfig) -> np.ndarray:
    """float64 [3], in the order of `PARTS`."""
    return np.array([getattr(config, name) for name in PARTS])


def fit_weights(lists: Lists, config: SearchConfig) -> SearchConfig:
    """The most likely weights under the lists and a normal prior around the given ones; none falls below 0.

    A list without any gain says nothing, and a part that differs in no list keeps its weight.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> parts = np.c_[rng.normal(size=(900, 2)), np.zeros(900)]
        >>> best = (parts[:, 1].reshape(300, 3)).argmax(1)
        >>> gains = (np.arange(3) == best[:, None]).ravel().astype(float)
        >>> found = fit_weights(Lists(parts, np.arange(0, 901, 3), gains), SearchConfig(text=1, words=1, popularity=0.2))
        >>> found.words > 4 * found.text, found.popularity
        (True, 0.2)
    """
    before = _weights_of(config)
    spread = SPREAD * np.maximum(before, 1e-3)
    weights, shares = before.copy(), lists.shares
    told = np.repeat(_sums(lists.gains, lists.starts) > 0, np.diff(lists.starts))

    def value(at: np.ndarray) -> float:
        fits = (told * shares * _log_softmax(lists.parts @ at, lists.starts)).sum()
        return float(fits - (((at - before) / spread)**2).sum() / 2)

    for _ in range(STEPS):
        likely = np.exp(_log_softmax(lists.parts @ weights, lists.starts)) * told
        means = _sums(likely[:, None] * lists.parts, lists.starts)
        slope = ((shares - likely)[:, None] * lists.parts).sum(0) - (weights - before) / spread**2
        bend = (lists.parts * likely[:, None]).T @ lists.parts - means.T @ means + np.diag(spread**-2)
        step, length = np.linalg.solve(bend, slope), 1.0
        moved = np.maximum(weights + step, 0)
        while value(moved) < value(weights) and length > SHORTEST_STEP:
            length /= 2
            moved = np.maximum(weights + length * step, 0)
        if np.allclose(moved, weights, rtol=1e-6, atol=1e-9) or length <= SHORTEST_STEP:
            break
        weights = moved
    return config.model_copy(update=dict(zip(PARTS, weights.tolist(), strict=True)))


def as_strong(config: SearchConfig, before: SearchConfig, lists: Lists) -> SearchConfig:
    """Weights of meaning and words in their proportion, as strong as they were before for the average answer of the lists."""
    answer = lists.shares @ lists.parts[:, :2] / max(float(lists.shares.sum()), 1e-9)
    strength = float(_weights_of(config)[:2] @ answer)
    factor = float(_weights_of(before)[:2] @ answer) / strength if strength > 0 else 1.0
    return config.model_copy(update={"text": factor * config.text, "words": factor * config.words})


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, starts[:-1]) if len(values) else np.zeros((0, *values.shape[1:]))


def _log_softmax(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """float64 [R]: log shares within each list."""
    if not len(scores):
        return scores
    sizes = np.diff(starts)
    above = scores - np.repeat(np.maximum.reduceat(scores, starts[:-1]), sizes)
    return above - np.repeat(np.log(np.add.reduceat(np.exp(above), starts[:-1])), sizes)


def list_ndcg(lists: Lists, config: SearchConfig) -> np.ndarray:
    """float64 [Q]: NDCG@10 within each list, with linear gains; ties lie in their worst order, a list without gains has 0."""
    scores, found = lists.parts @ _weights_of(config), np.zeros(len(lists.starts) - 1)
    discounts = 1 / np.log2(np.arange(DEPTH) + 2)
    for at, (low, high) in enumerate(pairwise(lists.starts.tolist())):
        gains = lists.gains[low:high]
        placed = gains[np.lexsort((gains, -scores[low:high]))][:DEPTH]
        best = np.sort(gains)[::-1][:DEPTH]
        if best.any():
            found[at] = placed @ discounts[:len(placed)] / (best @ discounts[:len(best)])
    return found


def some_lists(lists: Lists, queries: np.ndarray) -> Lists:
    """The lists of some queries."""
    sizes = np.diff(lists.starts)[queries]
    rows = np.repeat(lists.starts[queries] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    return Lists(lists.parts[rows], np.r_[0, np.cumsum(sizes)].astype(np.int64), lists.gains[rows])
