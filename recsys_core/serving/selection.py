"""Which items may be answered with, and in which order equal scores come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from recsys_core.errors import RequestError
from recsys_core.schema import CATEGORY_SEPARATOR

TIE_SEED = b"recsys-ties"


def tie_ranks(item_ids: Sequence[str], popularity: np.ndarray) -> np.ndarray:
    """int32 [N]: the order among equal scores, 0 first: behaviour decides, then a keyed hash of the id.

    Id order would favour whatever a shop happened to number first.
    """
    digests = [hashlib.blake2b(item.encode(), digest_size=8, key=TIE_SEED).digest() for item in item_ids]
    hashes = np.frombuffer(b"".join(digests), "<u8")
    order = np.lexsort((hashes, -np.asarray(popularity, np.float64)))
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def top_rows(scores: np.ndarray, k: int, ties: np.ndarray) -> np.ndarray:
    """The rows of the k best scores, best first; items at −inf are not candidates.

    Args:
        scores: float32 [N].
        ties: int32 [N], see `tie_ranks`.

    >>> top_rows(np.array([1., 3., 3., -np.inf]), 3, np.array([0, 2, 1, 3])).tolist()
    [2, 1, 0]
    """
    k = min(k, int(np.isfinite(scores).sum()))
    if k <= 0:
        return np.zeros(0, np.int64)
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > kth)
    level = np.flatnonzero(scores == kth)
    level = level[np.argsort(ties[level])][:k - len(above)]
    return np.concatenate([above[np.lexsort((ties[above], -scores[above]))], level])


def allowed_rows(items: pl.DataFrame, row_of: dict[str, int], candidates: Sequence[str] | None,
                 filters: dict[str, Any] | None) -> tuple[np.ndarray | None, str | None]:
    """The items a request restricts itself to.

    Args:
        candidates: item ids.
        filters: {column: value, list of values, or {"min": …, "max": …}}; a category also matches everything below it.

    Returns:
        bool [N] (None: every item) and a phrase about candidates that are not in the catalogue.

    Raises:
        RequestError: a filter over a column the items do not have, or of another type.
    """
    if candidates is None and not filters:
        return None, None
    mask, note = np.ones(items.height, bool), None
    if candidates is not None:
        rows = [row_of[c] for c in candidates if c in row_of]
        mask[:] = False
        mask[rows] = True
        missing = [str(c) for c in candidates if c not in row_of]
        if missing:
            note = f"{len(missing)} unknown candidates ignored ({', '.join(missing[:3])})"
    if filters:
        try:
            conditions = [_condition(items, column, wanted) for column, wanted in filters.items()]
            kept = items.select(pl.all_horizontal(conditions).fill_null(False)).to_series().to_numpy()
        except pl.exceptions.PolarsError as error:
            raise RequestError("filters", str(error).splitlines()[0],
                               "compare a column with its own type") from None
        mask &= kept
    return mask, note


def _condition(items: pl.DataFrame, column: str, wanted: Any) -> pl.Expr:
    if column not in items.columns:
        raise RequestError("filters", f"items have no column {column!r}",
                           f"use one of {', '.join(items.columns)}")
    here, dtype = pl.col(column), items.schema[column]
    if isinstance(wanted, dict):
        if not wanted or set(wanted) - {"min", "max"}:
            raise RequestError("filters", f"the range of {column!r} has keys {sorted(wanted)}",
                               "use min and max")
        bounds = [here >= wanted["min"]] if wanted.get("min") is not None else []
        bounds += [here <= wanted["max"]] if wanted.get("max") is not None else []
        return pl.all_horizontal([pl.lit(True), *bounds])
    values = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
    for value in values:
        if (dtype == pl.String) != isinstance(value, str) and not isinstance(value, date | datetime):
            raise RequestError("filters", f"{column!r} holds {dtype}, {value!r} is none",
                               "compare like with like")
    exact = here.is_in(values)
    if column == "category":
        return pl.any_horizontal([exact] + [here.str.starts_with(v + CATEGORY_SEPARATOR) for v in values])
    return exact
