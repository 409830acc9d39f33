"""How many of some items have which value: what a page offers to narrow a search by."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np

from recsys_core.schema import CATEGORY_SEPARATOR

VALUES = 20  # of a column that are told, the most frequent first
BANDS = 5  # of a column of numbers


class Facet(TypedDict):
    """One value, or one range {"min", "max"}, as a filter takes it, and how many items have it."""

    value: Any
    count: int


def count_values(codes: np.ndarray, names: Mapping[Any, int], rows: np.ndarray, path: bool) -> list[Facet]:
    """The most frequent values of some items.

    Args:
        codes: int32 [N], −1 where an item has no value.
        names: value → its code.
        rows: int, the items.
        path: values are category paths: every level above counts, too.
    """
    counts = np.bincount(codes[rows] + 1, minlength=len(names) + 1)[1:]
    found: dict[Any, int] = {}
    for value, code in names.items():
        if counts[code] and value is not None:
            levels = str(value).split(CATEGORY_SEPARATOR) if path else []
            for name in [CATEGORY_SEPARATOR.join(levels[:depth + 1]) for depth in range(len(levels))] if path else [value]:
                found[name] = found.get(name, 0) + int(counts[code])
    ranked = sorted(found.items(), key=lambda one: (-one[1], str(one[0])))
    return [{"value": value, "count": count} for value, count in ranked[:VALUES]]


def count_bands(numbers: np.ndarray, rows: np.ndarray) -> list[Facet]:
    """Ranges that about equally many of some items fall in, ascending; an item on a border is in both, as a filter answers.

    Args:
        numbers: float [N], NaN where an item has none.
        rows: int, the items.
    """
    known = numbers[rows]
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1), method="nearest"))
    pairs = pairwise(edges.tolist()) if len(edges) > 1 else [(float(edges[0]), float(edges[0]))]
    return [{"value": {"min": low, "max": high}, "count": int(((known >= low) & (known <= high)).sum())}
            for low, high in pairs]
