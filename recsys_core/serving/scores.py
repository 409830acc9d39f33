"""What a request adds up to: named parts, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.metrics import top_rows
from recsys_core.retrieval import Documents, Narrowing, QueryParts, Scaled, Standing, clean_query, query_parts, taste_part
from recsys_core.schema import PAD_SCORE
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import join_histories
from recsys_core.serving.request import Request

FOUND = 200  # items that a query finds by meaning alone, where facets are counted


def history_scores(parts: BundleParts, requests: Sequence[Request]) -> np.ndarray:
    """Logits float32 [n, N] without a query: the ranker's and what each request adds; all are asked at the first one's time."""
    scores = parts.ranker.score(join_histories([r.history for r in requests]), requests[0].now)
    for values, request in zip(scores, requests, strict=True):
        add_offsets(values, request)
    return scores


@dataclass(frozen=True)
class Matched:
    """What a query adds up to.

    Args:
        said: what it says of the documents that were scored.
        by_item: all other named parts, of N items each.
        standing: the sum of `by_item`; −inf where an item may not be answered and a shortlist was made.
    """

    said: QueryParts
    by_item: Mapping[str, np.ndarray | Scaled]
    standing: Standing

    def items(self, documents: Documents) -> np.ndarray:
        """The score of every item, where every document was scored: float32 [N]."""
        return self.said.scores[documents.of_item] + self.standing.items

    def reasons(self, rows: np.ndarray, documents: np.ndarray) -> dict[str, np.ndarray]:
        """Every named part of some items, which have these documents."""
        places = documents if self.said.documents is None else np.searchsorted(self.said.documents, documents)
        return {name: part[places] for name, part in self.said.parts.items()} \
            | {name: part[rows] for name, part in self.by_item.items()}


def match(parts: BundleParts, query: str, request: Request, k: int | None = None) -> Matched:
    """Score a query.

    Args:
        parts: the bundle's.
        query: as the caller wrote it.
        request: as understood.
        k: how many items will be answered; None: every document is scored, however many there are.
    """
    query = clean_query(query)
    by_item: dict[str, np.ndarray | Scaled] = {"popularity": parts.search_popularity, **request.offsets}
    standing = request.offsets.standing(parts.search_popularity, parts.items_of)
    if len(request.history.items):
        taste = taste_part(parts.ranker.score(join_histories([request.history]), request.now)[0], parts.search)
        by_item["taste"] = taste
        standing = Standing.of(standing.items + taste, parts.items_of)
    narrowing = None
    if k is not None and parts.index is not None:
        if request.allowed is not None:  # a document's best item must be one that may be answered
            standing = Standing.of(np.where(request.allowed, standing.items, np.float32(-np.inf)), parts.items_of)
        narrowing = Narrowing(parts.index, standing.documents, k)
    encoder = parts.encoder if parts.search.text else None
    said = query_parts(query, parts.catalogue.vectors, encoder, parts.lexical, parts.search, narrowing)
    return Matched(said, by_item, standing)


def found_rows(parts: BundleParts, found: Matched, request: Request) -> np.ndarray:
    """int: the items a query, scored over every document, is said to find; see `Bundle.facets`."""
    words = found.said.parts.get("words")
    if words is not None:
        inside = (words >= words.max() / 2)[parts.documents.of_item]
        return np.flatnonzero(inside if request.allowed is None else inside & request.allowed)
    scores = found.items(parts.documents)
    exclude(scores, request, False)
    return top_rows(scores, FOUND, parts.ties)


def add_offsets(scores: np.ndarray, request: Request) -> np.ndarray:
    """The scores [N] with what the request adds, in place."""
    total = request.offsets.total
    if total is not None:
        scores += total
    return scores


def exclude(scores: np.ndarray, request: Request, seen: bool) -> None:
    """Mark in `scores` [N] what may not be answered with."""
    if request.allowed is not None:
        scores[~request.allowed] = PAD_SCORE
    if seen:
        scores[request.history.items] = PAD_SCORE
