"""The clean catalogue: one row per item, uniform text, and the one text the encoder reads."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from recsys_core.cleaning.text import normalise_one, normalise_text, strip_markup, trim_id
from recsys_core.errors import DataError
from recsys_core.schema import CATEGORY_SEPARATOR, CLEAN_ITEMS, RAW_ITEMS

log = logging.getLogger(__name__)

DESCRIPTION_CHARACTERS = 200
_TEXT_COLUMNS = ("title", "description", "brand", "category")


def clean_items(raw_items: pl.DataFrame) -> pl.DataFrame:
    """Normalise, deduplicate and describe the catalogue, so that every later stage can trust its keys.

    Rows without an item_id are dropped. Rows that share an item_id become one: each column keeps its
    first non-null value in the order supplied. An item without a title is titled by the first of its
    description, brand, category or item_id, so no text is ever null.

    Args:
        raw_items: the columns of `schema.RAW_ITEMS` and any other column of the shop.

    Returns:
        The columns of `schema.CLEAN_ITEMS`, then the shop's own, sorted by item_id, unique.

    Raises:
        DataError: a contract column is missing or of another type, `text` is taken, or no item is left.
    """
    _check_columns(raw_items)
    extra = [name for name in raw_items.columns if name not in RAW_ITEMS]
    items = raw_items.select(*RAW_ITEMS, *extra).with_columns(trim_id("item_id"))
    items = items.filter(pl.col("item_id").is_not_null())
    items = items.with_columns(strip_markup(items[name]).alias(name) for name in _TEXT_COLUMNS)
    price = pl.col("price")
    items = items.with_columns(
        *(normalise_text(name) for name in _TEXT_COLUMNS),
        pl.when(price.is_finite() & (price >= 0)).then(price).alias("price"))
    items = _merge_duplicates(items).sort("item_id")
    if items.is_empty():
        raise DataError("clean_items", "no data: no row has an item_id", "check the shop's items file")
    removed = raw_items.height - items.height
    log.info("%d items, %d rows without an id or with a repeated one", items.height, removed)
    description = pl.col("description").str.slice(0, DESCRIPTION_CHARACTERS)
    title = pl.coalesce("title", description, "brand", "category", "item_id")
    items = items.with_columns(title.alias("title"))
    return items.with_columns(_compose_texts(items)).select(*CLEAN_ITEMS, *extra)


def clean_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """One item as `clean_items` would leave it: uniform texts, a title, and the text that the encoder reads.

    Args:
        row: item_id (text) and any of title, description, brand, category (text or None), price (a number or None).

    >>> clean_item({"item_id": "7", "title": " Oak&nbsp;desk ", "brand": "Alder"})["text"]
    'Oak desk. Alder'
    """
    texts = {name: normalise_one(row.get(name)) for name in _TEXT_COLUMNS}
    description = texts["description"] and texts["description"][:DESCRIPTION_CHARACTERS]
    title = texts["title"] or description or texts["brand"] or texts["category"] or row["item_id"]
    price = row.get("price")
    return {**texts, "item_id": row["item_id"], "title": title,
            "price": price if price is not None and math.isfinite(price) and price >= 0 else None,
            "text": compose_text(title, texts["description"], texts["brand"], texts["category"])}


def _check_columns(raw_items: pl.DataFrame) -> None:
    for name, dtype in RAW_ITEMS.items():
        if raw_items.schema.get(name) != dtype:
            raise DataError("raw_items", f"column {name!r} is {raw_items.schema.get(name)}, not {dtype}",
                            "map the column in shop.yaml")
    if "text" in raw_items.columns:
        raise DataError("raw_items", "column 'text' is the name of the composed item text",
                        "map it to title or description in shop.yaml, or rename it")


def _merge_duplicates(items: pl.DataFrame) -> pl.DataFrame:
    """One row per item_id; each column's first non-null value in row order wins."""
    repeated = items["item_id"].is_duplicated()
    if not repeated.any():
        return items
    merged = items.filter(repeated).group_by("item_id", maintain_order=True).agg(
        pl.all().drop_nulls().first())
    return pl.concat([items.filter(~repeated), merged.select(items.columns)])


def _compose_texts(items: pl.DataFrame) -> pl.Series:
    return pl.Series("text", [compose_text(*row) for row in items.select(_TEXT_COLUMNS).iter_rows()],
                     dtype=pl.String)


def compose_text(title: str, description: str | None, brand: str | None, category: str | None) -> str:
    """Join what is known of an item, leaving out what its title already says.

    Args:
        title: never empty.
        description: only its first 200 characters, cut at a word, are used.
        brand: left out where the title names it.
        category: levels joined by `schema.CATEGORY_SEPARATOR`.

    >>> compose_text("Ground beef 80% lean", None, "Private", "MEAT > BEEF")
    'Ground beef 80% lean. Private. MEAT'
    """
    parts, said = [title], f" {title.casefold()} "
    for part in (brand, *(category.split(CATEGORY_SEPARATOR) if category else ()), _opening(description)):
        folded = part.strip().casefold() if part else ""
        if folded and f" {folded} " not in said:
            parts.append(part.strip())
            said += f"{folded} "
    return ". ".join(parts)


def _opening(description: str | None) -> str | None:
    if description is None or len(description) <= DESCRIPTION_CHARACTERS:
        return description
    head = description[:DESCRIPTION_CHARACTERS + 1]
    return head.rsplit(" ", 1)[0] if " " in head else head[:DESCRIPTION_CHARACTERS]
