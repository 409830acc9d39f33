"""Full-catalogue ranking metrics of a bundle on rows of `history` and `target`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from recsys_core.arguments import read_id, read_k
from recsys_core.errors import DataError, RequestError
from recsys_core.metrics import ranking_metrics
from recsys_core.schema import PAD_SCORE
from recsys_core.serving import Bundle

log = logging.getLogger(__name__)

METRICS = ("hr", "recall", "ndcg", "mrr")


def evaluate_bundle(bundle: Bundle, test: pl.DataFrame, k: int = 10, segment: str | None = None,
                    exclude_seen: bool = False, context: Mapping[str, str] | None = None, shelf: str | None = None
                    ) -> dict[str, float | int]:
    """Rank the whole catalogue for every row and average; ties count at their expected rank.

    Args:
        bundle: what is measured.
        test: `history` (list of item ids, or of dicts with item_id, event_type, timestamp; oldest first) and `target` (an
            id or a list of ids). A target that the catalogue does not hold, or that is excluded as seen, is a miss; how
            many ids are unknown is logged as a warning.
        k: where the lists end.
        segment: as in `Bundle.recommend`, for every row. Requests are made now: a scene that has ended, like a segment
            that was refused, is measured as what is served, the base (with a warning).
        exclude_seen: leave out the items of each history.
        context: as in `Bundle.recommend`, for every row.
        shelf: as in `Bundle.recommend`, for every row.

    Returns:
        {"n": rows, "hr@k", "recall@k", "ndcg@k", "mrr@k": means in [0, 1]}.

    Raises:
        DataError: missing columns, no rows, a row without a target, or no target that the catalogue holds.
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
    _check_known(histories, targets, row_of)
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
    if not isinstance(test.schema["history"], pl.List | pl.Array):
        raise DataError("test rows", f"history is {test.schema['history']}, not a list",
                        "give one list of ids per row")
    if not test.height:
        raise DataError("test rows", "the file has no rows", "give at least one")
    histories = [list(h) if h is not None else [] for h in test["history"].to_list()]
    asked = [wanted if isinstance(wanted, list) else [wanted] for wanted in test["target"].to_list()]
    read = [[read_id(one, f"target of row {row}") for one in wanted] for row, wanted in enumerate(asked)]
    targets = [list(dict.fromkeys(one for one in wanted if one is not None)) for wanted in read]
    empty = [row for row, wanted in enumerate(targets) if not wanted]
    if empty:
        raise DataError("test rows", f"row {empty[0]} has no target", "leave such rows out")
    return histories, targets


def _check_known(histories: Sequence[Sequence[Any]], targets: Sequence[Sequence[str]], row_of: Mapping[str, int]) -> None:
    """Refuse rows of another shop, and say how many ids the catalogue does not hold.

    Raises:
        DataError: no target is known: every metric would be 0.
    """
    wanted = [one for row in targets for one in row]
    seen = [read_id(event.get("item_id") if isinstance(event, Mapping) else event, f"history of row {row}")
            for row, history in enumerate(histories) for event in history]
    known = [one for one in seen if one is not None]
    lost, strange = ([one for one in ids if one not in row_of] for ids in (wanted, known))
    if not lost and not strange:
        return
    culprit = (f"{len(lost):,} of {len(wanted):,} targets and {len(strange):,} of {len(known):,} history ids are not in the "
               f"catalogue, e.g. {(lost or strange)[0][:40]!r} beside its {next(iter(row_of), '')!r}")
    cause = _likely_cause((lost or strange)[0], row_of)
    if len(lost) == len(wanted):
        raise DataError("test rows", culprit, cause)
    log.warning("evaluation: %s: %s", culprit, cause)


def _likely_cause(stranger: str, row_of: Mapping[str, int]) -> str:
    """Why an id is unknown, and what to do."""
    if stranger.removesuffix(".0") in row_of:
        return "write ids as text or integers, these passed through floats"
    if stranger.lstrip("0") in {item.lstrip("0") for item in row_of}:
        return "write ids as text, their leading zeros were lost"
    return "take test rows from the bundle's own shop"


def _target_rows(wanted: Sequence[str], row_of: dict[str, int], n_items: int) -> np.ndarray:
    known = [row_of[t] for t in wanted if t in row_of]
    missing = len(wanted) - len(known)
    return np.array([*known, *range(n_items, n_items + missing)], np.int64)
