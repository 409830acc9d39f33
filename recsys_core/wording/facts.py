"""What the catalogue says of one item: all that a text about it may claim."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recsys_core.amounts import normalise
from recsys_core.schema import CATEGORY_SEPARATOR, as_text

TOLD = {"item_id", "title", "description", "brand", "category", "price", "text"}  # columns with a place of their own
LONGEST_VALUE = 60  # characters of another column's value; longer ones are prose
MOST_SIZES = 2


@dataclass(frozen=True)
class Facts:
    """One item.

    Args:
        item_id: the shop's id.
        title: as the shop has it.
        brand: "": it says nothing.
        description: "": it says nothing.
        category: its levels, the widest first.
        price: > 0; None: unknown.
        sizes: values of columns that are amounts, such as "12 OZ".
        others: the other columns with a short value, by name.
        prose: what else the shop's table says, in long columns.
    """

    item_id: str
    title: str
    brand: str = ""
    category: tuple[str, ...] = ()
    price: float | None = None
    description: str = ""
    sizes: tuple[str, ...] = ()
    others: dict[str, str] = field(default_factory=dict)
    prose: tuple[str, ...] = ()

    def texts(self) -> list[str]:
        """All of it as texts, but not the price."""
        told = [self.title, self.brand, *self.category, self.description, *self.sizes, *self.prose]
        return [text for text in (*told, *(f"{name} {value}" for name, value in self.others.items())) if text]


def read_facts(items: pl.DataFrame, row: int) -> Facts:
    """The facts of a row.

    Single values are read, unlike with a Polars expression, in this thread: a forked worker can ask, too.

    Args:
        items: the catalogue's.
        row: which.
    """
    values = {name: _plain(items[name][row]) for name in items.columns}
    sizes, others, prose = list[str](), dict[str, str](), list[str]()
    for name, value in values.items():
        if name in TOLD or not value or name.casefold().endswith("id"):
            continue
        amount = normalise(value)
        if len(value) > LONGEST_VALUE:
            prose.append(value)
        elif amount is not None and len(value) <= 2 * len(str(amount)) + 8 and len(sizes) < MOST_SIZES:
            sizes.append(value)
        else:
            others[name.replace("_", " ")] = value
    # Many shops write 0 where they know no price.
    price = items["price"][row] if "price" in items.columns else None
    return Facts(
        values["item_id"], values.get("title") or values.get("text", ""), values.get("brand", ""),
        tuple(level for level in values.get("category", "").split(CATEGORY_SEPARATOR) if level),
        float(price) if isinstance(price, int | float) and price > 0 else None,
        values.get("description", ""), tuple(sizes), others, tuple(prose))


def _plain(value: Any) -> str:
    """A value as one line of text; nothing for a list or a missing one."""
    if value is None or (isinstance(value, float) and value != value) or not isinstance(value, str | int | float):
        return ""
    return " ".join(as_text(value).split())
