"""Attributes beside the items table: read off texts, they fill what the shop left empty, for filters and facets alone.

The items table stays as the shop gave it: segments, rankers, words and descriptions go by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

import polars as pl

from recsys_core.schema import ITEM_ATTRIBUTES


class Attribute(TypedDict):
    """A value of an item. source: "shop", or the task that read it off the item's text; task_hash: of that task, else None."""

    value: str
    source: str
    task_hash: str | None


@dataclass(frozen=True)
class ItemAttributes:
    """What was extracted of N items.

    Args:
        values: column → its values by row; None where nothing was extracted.
        tasks: column → by row the task that did it.
        hashes: task → its hash.
    """

    values: dict[str, list[str | None]]
    tasks: dict[str, list[str | None]]
    hashes: dict[str, str]

    @classmethod
    def of(cls, table: pl.DataFrame, row_of: Mapping[str, int]) -> ItemAttributes:
        """From `schema.ITEM_ATTRIBUTES`; rows of unknown items are left out.

        Args:
            table: it.
            row_of: item id → row, of all N items.
        """
        columns = table["attribute"].unique(maintain_order=True).to_list()
        values: dict[str, list[str | None]] = {name: [None] * len(row_of) for name in columns}
        tasks: dict[str, list[str | None]] = {name: [None] * len(row_of) for name in columns}
        for item, column, value, task in table.select(list(ITEM_ATTRIBUTES)[:4]).iter_rows():
            if (row := row_of.get(item)) is not None:
                values[column][row], tasks[column][row] = value, task
        return cls(values, tasks, dict(table.select("task", "task_hash").unique().iter_rows()))

    def fill(self, items: pl.DataFrame) -> pl.DataFrame:
        """The items with these columns; where the shop gives a value it stays. Made without a Polars expression.

        Args:
            items: N of them.
        """
        columns = {name: items[name] for name in items.columns}
        for name, values in self.values.items():
            own = items[name].to_list() if name in items.columns else [None] * items.height
            columns[name] = pl.Series(name, [given if given is not None else found for given, found in
                                             zip(own, values, strict=True)], pl.String)
        return pl.DataFrame(list(columns.values())) if self.values else items

    def told(self, items: pl.DataFrame, row: int) -> dict[str, Attribute]:
        """What is known of one item in these columns, and who says it.

        Args:
            items: N of them.
            row: the item's.
        """
        found: dict[str, Attribute] = {}
        for name, values in self.values.items():
            given = items[name][row] if name in items.columns else None
            task, value = self.tasks[name][row], values[row]
            if given is not None:
                found[name] = {"value": given, "source": "shop", "task_hash": None}
            elif task is not None and value is not None:
                found[name] = {"value": value, "source": task, "task_hash": self.hashes[task]}
        return found

    def grown(self, changed: Iterable[int], size: int) -> ItemAttributes:
        """The same for `size` items, later ones without any; those of changed items are no longer known.

        Args:
            changed: rows.
            size: ≥ N.
        """
        def without(columns: Mapping[str, list[str | None]]) -> dict[str, list[str | None]]:
            found = {name: values + [None] * (size - len(values)) for name, values in columns.items()}
            for values in found.values():
                for row in changed:
                    values[row] = None
            return found

        changed = list(changed)
        return ItemAttributes(without(self.values), without(self.tasks), self.hashes)
