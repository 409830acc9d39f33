"""What a request adds up to: named parts, float32 [N] each, and their sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys_core.schema import PAD_SCORE
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import join_histories
from recsys_core.serving.request import Request
from recsys_core.serving.search import clean_query, query_parts, taste_part


def history_scores(parts: BundleParts, requests: Sequence[Request]) -> np.ndarray:
    """Logits float32 [n, N] without a query: the ranker's and what each request adds; all are asked at the first one's time."""
    scores = parts.ranker.score(join_histories([r.history for r in requests]), requests[0].now)
    for values, request in zip(scores, requests, strict=True):
        add_offsets(values, request)
    return scores


def search_parts(parts: BundleParts, query: str, request: Request) -> tuple[dict[str, np.ndarray], str | None]:
    """The named logits of a query, and a phrase where no word of it is in the catalogue."""
    query = clean_query(query)
    encoder = parts.encoder if parts.search.text else None
    found, note = query_parts(query, parts.catalogue, parts.log_share, encoder, parts.lexical, parts.search)
    if len(request.history.items):
        taste = parts.ranker.score(join_histories([request.history]), request.now)[0]
        found["taste"] = taste_part(taste, parts.search)
    return found | request.offsets, note


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


def total(parts: dict[str, np.ndarray]) -> np.ndarray:
    """The sum of named parts, float32 [N], in a new array."""
    found = np.zeros(len(next(iter(parts.values()))), np.float32)
    for part in parts.values():
        found += part
    return found
