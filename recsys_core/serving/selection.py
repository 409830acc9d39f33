"""Which items may be answered with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from recsys_core.errors import RequestError
from recsys_core.schema import CATEGORY_SEPARATOR


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
