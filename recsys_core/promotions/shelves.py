"""Shelves: named sets of items that a shop offers on a page, each item for its own days."""

from __future__ import annotations

from copy import copy
from datetime import date

import numpy as np
import polars as pl

NEW_ARRIVALS = "new-arrivals"  # made with every bundle, unless the shop has a shelf of that name
SHELF_COLUMNS = {"shelf": pl.String, "item_id": pl.String, "first_day": pl.Date, "last_day": pl.Date}


class Shelves:
    """The shelves of one bundle.

    Args:
        frame: `SHELF_COLUMNS`; days are local and inclusive, null leaves that side open.
        row_of: the catalogue's.
    """

    def __init__(self, frame: pl.DataFrame, row_of: dict[str, int]) -> None:
        days = frame.select("shelf", "item_id", pl.col("first_day").fill_null(date.min), pl.col("last_day").fill_null(date.max))
        self._shelves = {
            name: (np.array([row_of[item] for item in rows["item_id"].to_list()], np.int64),
                   rows["first_day"].to_numpy(), rows["last_day"].to_numpy())
            for (name,), rows in sorted(days.partition_by("shelf", as_dict=True).items())}
        self._size = len(row_of)

    def grown(self, size: int) -> Shelves:
        """The same for a catalogue with more items at its end, which are on no shelf."""
        found = copy(self)
        found._size = size
        return found

    @property
    def names(self) -> list[str]:
        """Sorted."""
        return list(self._shelves)

    def opened(self, name: str) -> date | None:
        """The first day of a shelf; None where an item has always been on it."""
        first = min(self._shelves[name][1].tolist())
        return None if first == date.min else first

    def allowed(self, name: str, day: date) -> tuple[np.ndarray | None, str | None]:
        """The items on a shelf: bool [N] (None: it restricts nothing) and, where it has nothing to say, why."""
        if name not in self._shelves and name != NEW_ARRIVALS:
            return None, f"shelf {name[:40]!r} is unknown and restricts nothing"
        rows, first, last = self._shelves.get(name, (np.zeros(0, np.int64), *[np.zeros(0, "datetime64[D]")] * 2))
        today = np.datetime64(day, "D")
        here = rows[(first <= today) & (today <= last)]
        if not len(here):
            return None, f"shelf {name!r} holds nothing on {day} and restricts nothing"
        mask = np.zeros(self._size, bool)
        mask[here] = True
        return mask, None
