"""What a request adds up to: named parts, and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.retrieval import Standing, clean_query, query_parts, taste_part
from recsys_core.schema import PAD_SCORE
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import join_histories
from recsys_core.serving.request import Request


def history_scores(parts: BundleParts, requests: Sequence[Request]) -> np.ndarray:
    """Logits float32 [n, N] without a query: the ranker's and what each request adds; all are asked at the first one's time."""
    scores = parts.ranker.score(join_histories([r.history for r in requests]), requests[0].now)
    for values, request in zip(scores, requests, strict=True):
        add_offsets(values, request)
    return scores


@dataclass(frozen=True)
class Matched:
    """What a query adds up to: float32 [M] per text, and float32 [N] per item what stands without it.

    Args:
        by_text: the query's named parts.
        by_item: all other named parts.
        texts: the sum of `by_text`.
        standing: the sum of `by_item`.
        note: a phrase where no word of the query is in the catalogue.
    """

    by_text: dict[str, np.ndarray]
    by_item: dict[str, np.ndarray]
    texts: np.ndarray
    standing: Standing
    note: str | None

    def reasons(self, rows: np.ndarray, texts: np.ndarray) -> dict[str, np.ndarray]:
        """Every named part of some items, which have these texts."""
        return {name: part[texts] for name, part in self.by_text.items()} \
            | {name: part[rows] for name, part in self.by_item.items()}


def match(parts: BundleParts, query: str, request: Request) -> Matched:
    """Score a query."""
    query = clean_query(query)
    encoder = parts.encoder if parts.search.text else None
    by_text, note = query_parts(query, parts.catalogue.vectors, encoder, parts.lexical, parts.search)
    by_item = {"popularity": parts.search_popularity, **request.offsets}
    standing = request.offsets.standing(parts.search_popularity, parts.items_of)
    if len(request.history.items):
        taste = taste_part(parts.ranker.score(join_histories([request.history]), request.now)[0], parts.search)
        by_item["taste"] = taste
        standing = Standing.of(standing.items + taste, parts.items_of)
    return Matched(by_text, by_item, total(by_text, len(parts.catalogue.vectors)), standing, note)


def add_offsets(scores: np.ndarray, request: Request) -> np.ndarray:
    """The scores [N] with what the request adds, in place."""
    for offsets in request.offsets.values():
        scores += offsets
    return scores


def exclude(scores: np.ndarray, request: Request, seen: bool) -> None:
    """Mark in `scores` [N] what may not be answered with."""
    if request.allowed is not None:
        scores[~request.allowed] = PAD_SCORE
    if seen:
        scores[request.history.items] = PAD_SCORE


def total(parts: dict[str, np.ndarray], size: int) -> np.ndarray:
    """The sum of named parts, float32 [size]."""
    found = np.zeros(size, np.float32)
    for part in parts.values():
        found += part
    return found
