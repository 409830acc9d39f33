"""What a request adds up to: named parts, and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.retrieval import Narrowing, Standing, clean_query, query_parts, taste_part
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
    """What a query adds up to: float32 [m] per text that was scored, and float32 [N] per item what stands without it.

    Args:
        by_text: the query's named parts.
        by_item: all other named parts.
        texts: int64 [m], ascending: which texts; None: all M.
        scores: the sum of `by_text`.
        standing: the sum of `by_item`; −inf where an item may not be answered and a shortlist was made.
        note: a phrase where no word of the query is in the catalogue.
    """

    by_text: dict[str, np.ndarray]
    by_item: dict[str, np.ndarray]
    texts: np.ndarray | None
    scores: np.ndarray
    standing: Standing
    note: str | None

    def reasons(self, rows: np.ndarray, texts: np.ndarray) -> dict[str, np.ndarray]:
        """Every named part of some items, which have these texts."""
        places = texts if self.texts is None else np.searchsorted(self.texts, texts)
        return {name: part[places] for name, part in self.by_text.items()} \
            | {name: part[rows] for name, part in self.by_item.items()}


def match(parts: BundleParts, query: str, request: Request, k: int | None = None) -> Matched:
    """Score a query.

    Args:
        parts: the bundle's.
        query: as the caller wrote it.
        request: as understood.
        k: how many items will be answered; None: every text is scored, however many there are.
    """
    query = clean_query(query)
    by_item = {"popularity": parts.search_popularity, **request.offsets}
    standing = request.offsets.standing(parts.search_popularity, parts.items_of)
    if len(request.history.items):
        taste = taste_part(parts.ranker.score(join_histories([request.history]), request.now)[0], parts.search)
        by_item["taste"] = taste
        standing = Standing.of(standing.items + taste, parts.items_of)
    narrowing = None
    if k is not None and parts.index is not None:
        if request.allowed is not None:  # a text's best item must be one that may be answered
            standing = Standing.of(np.where(request.allowed, standing.items, np.float32(-np.inf)), parts.items_of)
        narrowing = Narrowing(parts.index, standing.texts, k)
    encoder = parts.encoder if parts.search.text else None
    said = query_parts(query, parts.catalogue.vectors, encoder, parts.lexical, parts.search, narrowing)
    size = len(parts.catalogue.vectors) if said.texts is None else len(said.texts)
    return Matched(said.parts, by_item, said.texts, total(said.parts, size), standing, said.note)


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
