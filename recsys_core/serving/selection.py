"""Which items may be answered with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_core.arguments import read_ids, read_mapping
from recsys_core.serving.filters import ItemColumns


def allowed_rows(columns: ItemColumns, row_of: Mapping[str, int], candidates: Any, filters: Any
                 ) -> tuple[np.ndarray | None, list[str]]:
    """The items a request restricts itself to.

    Args:
        columns: of the catalogue's items.
        row_of: the catalogue's.
        candidates: item ids in any order; numbers are read as text.
        filters: see `ItemColumns.matching`.

    Returns:
        bool [N] (None: every item), and phrases about candidates that are not in the catalogue and about a restriction
        that leaves no item.

    Raises:
        RequestError: candidates that are no list of ids; a filter over a column the items do not have, or of another type.
    """
    mask, notes = None, []
    if candidates is not None:
        wanted = read_ids(candidates, "candidates", ordered=False)
        mask = np.zeros(len(row_of), bool)
        mask[[row_of[one] for one in wanted if one is not None and one in row_of]] = True
        missing = [str(one)[:40] for one in wanted if one not in row_of]
        if missing:
            notes.append(f"{len(missing)} unknown candidates ignored ({', '.join(missing[:3])})")
        if not mask.any():
            notes.append("no candidate is in the catalogue" if wanted else "the list of candidates is empty")
    named = read_mapping(filters, "filters")
    if named:
        kept = columns.matching(named)
        if not kept.any():
            notes.append(f"no item matches the filters on {', '.join(map(str, named))}{_without(columns, named)}")
        mask = kept if mask is None else mask & kept
    return mask, notes


def _without(columns: ItemColumns, filters: Mapping[str, Any]) -> str:
    """How many items would be left without each of several filters, where any would."""
    left = {name: int(columns.matching({other: filters[other] for other in filters if other != name}).sum())
            for name in filters} if len(filters) > 1 else {}
    told = [f"{count} without {name}" for name, count in left.items() if count]
    return f" ({', '.join(told)})" if told else ""
