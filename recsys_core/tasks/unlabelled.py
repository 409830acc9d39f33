"""How well an item answers a query where nobody graded a pair: words and meaning in equal parts, calibrated on the catalogue.

Some items are asked for by a part of their own titles: these are pairs that match, the same queries with other items are
pairs that do not. A logistic regression on the mix (Platt 1999) turns it into the chance that the item is the one meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.retrieval import EncodesQueries
from recsys_core.tasks.labels import Product
from recsys_core.tasks.match import overlaps_by_pieces
from recsys_core.words import tokenize

STEPS, RIDGE = 30, 1e-2


@dataclass(frozen=True)
class UnlabelledMatch:
    """The chance that an item is the one meant: σ(slope · mix + bias)."""

    slope: float
    bias: float

    def grades(self, encoder: EncodesQueries, queries: Sequence[str], products: Sequence[Product], vectors: np.ndarray
               ) -> np.ndarray:
        """float64 [n] in [0, 1]; arguments as those of `MatchAdapter.grades`."""
        return 0.5 * (1 + np.tanh((self.slope * _mix(encoder, queries, products, vectors) + self.bias) / 2))


def calibrate_match(encoder: EncodesQueries, products: Sequence[Product], vectors: np.ndarray, rng: np.random.Generator
                    ) -> UnlabelledMatch:
    """Calibrate on items asked for by parts of their titles.

    Args:
        encoder: of queries.
        products: some of the catalogue, each asked for once.
        vectors: float32 [n, d], of their texts.
        rng: draws the words and the other items.
    """
    rows = np.arange(len(products))
    queries = [_part(one.title or one.text, rng) for one in products]
    both = np.concatenate([rows, (rows + rng.integers(1, max(len(rows), 2), len(rows))) % max(len(rows), 1)])
    mix = _mix(encoder, queries * 2, [products[row] for row in both.tolist()], vectors[both])
    truth = (both == np.tile(rows, 2)).astype(np.float64)  # a catalogue of one item has no other
    inputs, found = np.column_stack([mix, np.ones(len(mix))]), np.zeros(2)
    for _ in range(STEPS):
        p = 0.5 * (1 + np.tanh(inputs @ found / 2))
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs + RIDGE * np.eye(2)
        found += np.linalg.solve(curvature, inputs.T @ (truth - p) - RIDGE * found)
    return UnlabelledMatch(float(found[0]), float(found[1]))


def _part(title: str, rng: np.random.Generator) -> str:
    """About half of a title's words, in their order."""
    words = title.split() if len(title.split()) > 1 else tokenize(title) or [title]
    kept = np.sort(rng.permutation(len(words))[:(len(words) + 1) // 2])
    return " ".join(words[place] for place in kept.tolist())


def _mix(encoder: EncodesQueries, queries: Sequence[str], products: Sequence[Product], vectors: np.ndarray) -> np.ndarray:
    """float64 [n]: half the cosine, half the share of the query's pieces of words that the text has."""
    asked = list(dict.fromkeys(queries))
    place = {query: row for row, query in enumerate(asked)}
    read = encoder.encode(asked)[[place[query] for query in queries]]
    words = [overlaps_by_pieces(query, product.text) for query, product in zip(queries, products, strict=True)]
    return (np.einsum("nd,nd->n", read, vectors).astype(np.float64) + np.array(words)) / 2
