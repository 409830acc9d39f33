"""Full-catalogue ranking metrics of a bundle on rows of `history` and `target`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from recsys_core.errors import DataError, RequestError
from recsys_core.metrics import ranking_metrics
from recsys_core.schema import PAD_SCORE
from recsys_core.serving.arguments import read_k
from recsys_core.serving.bundle import Bundle

log = logging.getLogger(__name__)

METRICS = ("hr", "recall", "ndcg", "mrr")


def evaluate_bundle(bundle: Bundle, test: pl.DataFrame, k: int = 10, segment: str | None = None,
                    exclude_seen: bool = False, context: Mapping[str, str] | None = None, shelf: str | None = None
                    ) -> dict[str, float | int]:
    """Rank the whole catalogue for every row and average; ties count at their expected rank.

    Args:
        test: `history` (list of item ids, or of dicts with item_id, event_type, timestamp; oldest first) and `target` (an
            id or a list of ids). A target that the catalogue does not hold, or that is excluded as seen, is a miss.
        segment: as in `Bundle.recommend`, for every row. Requests are made now: a scene that has ended, like a segment
            that was refused, is measured as what is served, the base (with a warning).
        context: as in `Bundle.recommend`, for every row.
        shelf: as in `Bundle.recommend`, for every row.

    Returns:
        {"n": rows, "hr@k", "recall@k", "ndcg@k", "mrr@k": means in [0, 1]}.

    Raises:
        DataError: missing columns, no rows, or a row without a target.
        RequestError: a segment that the shop does not have, or k below one.
    """
    k = read_k(k)
    if segment not in (None, "auto", *bundle.segments):
        raise RequestError("evaluation", f"segment {segment!r} is unknown",
                           f"use one of {sorted(bundle.segments)}")
    if segment not in (None, "auto"):
        why = bundle.parts.router.closed(segment, time.time())
        if why:
            log.warning("evaluation: %s: the base serves", why)
    histories, targets = _read_rows(test)
    row_of, n_items = bundle.catalogue.row_of, len(bundle.catalogue)
    strangers = max(sum(t not in row_of for t in wanted) for wanted in targets)
    sums = dict.fromkeys(METRICS, 0.0)
    for start, scores in bundle.score_batches(histories, segment, exclude_seen, context, shelf):
        # Targets outside the catalogue become columns that are never offered: misses that count.
        scores = np.concatenate([scores, np.full((len(scores), strangers), PAD_SCORE, np.float32)], axis=1)
        rows = [_target_rows(wanted, row_of, n_items) for wanted in targets[start:start + len(scores)]]
        indptr = np.r_[0, np.cumsum([len(r) for r in rows])].astype(np.int64)
        found = ranking_metrics(scores, indptr, np.concatenate(rows), k)
        for name in METRICS:
            sums[name] += float(found[f"{name}@{k}"].sum())
    return {"n": len(targets)} | {f"{name}@{k}": sums[name] / len(targets) for name in METRICS}


def _read_rows(test: pl.DataFrame) -> tuple[list[list[Any]], list[list[str]]]:
    for column in ("history", "target"):
        if column not in test.columns:
            raise DataError("test rows", f"there is no column {column!r}", "give history (list) and target")
    if not isinstance(test.schema["history"], pl.List):
        raise DataError("test rows", f"history is {test.schema['history']}, not a list",
                        "give one list of ids per row")
    if not test.height:
        raise DataError("test rows", "the file has no rows", "give at least one")
    histories = [list(h) if h is not None else [] for h in test["history"].to_list()]
    asked = [wanted if isinstance(wanted, list) else [wanted] for wanted in test["target"].to_list()]
    targets = [[str(t) for t in dict.fromkeys(wanted) if t is not None] for wanted in asked]
    empty = [row for row, wanted in enumerate(targets) if not wanted]
    if empty:
        raise DataError("test rows", f"row {empty[0]} has no target", "leave such rows out")
    return histories, targets


def _target_rows(wanted: Sequence[str], row_of: dict[str, int], n_items: int) -> np.ndarray:
    known = [row_of[t] for t in wanted if t in row_of]
    missing = len(wanted) - len(known)
    return np.array([*known, *range(n_items, n_items + missing)], np.int64)
