"""New and changed items join a loaded bundle: found at once, without training; nothing is written.

Texts are built as cleaning builds them, vectors come from the query encoder, which speaks the same space. New items stand
after all others and were never taken; a changed item keeps its row, so whatever was counted stays its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from recsys_core.arguments import read_id, read_list, read_number, read_scalar, show
from recsys_core.cleaning import clean_item
from recsys_core.errors import RequestError
from recsys_core.interactions import Catalogue
from recsys_core.schema import as_text
from recsys_core.serving.files import BundleParts

MADE = ("text",)  # columns that no caller gives


def with_items(parts: BundleParts, rows: Any) -> BundleParts:
    """The parts with items added or replaced; see `Bundle.with_items`."""
    catalogue, schema, cleaned = parts.catalogue, parts.catalogue.items.schema, read_items(parts, rows)
    if not cleaned:
        return parts
    place_of = {item: catalogue.row_of.get(item, -1) for item in cleaned}
    for item in cleaned:
        if place_of[item] < 0:
            place_of[item] = len(catalogue) + sum(place >= len(catalogue) for place in place_of.values())
    size = max(len(catalogue), max(place_of.values()) + 1)
    row_of_text = {text: row for row, text in enumerate(catalogue.texts)}
    text_of_item = np.concatenate([catalogue.text_of_item, np.zeros(size - len(catalogue), np.int32)])
    before = len(catalogue.vectors)
    new: list[str] = []
    for item, row in cleaned.items():
        if row["text"] not in row_of_text:
            row_of_text[row["text"]] = before + len(new)
            new.append(row["text"])
        text_of_item[place_of[item]] = row_of_text[row["text"]]
    items = _replaced(catalogue.items, cleaned, place_of, size)
    vectors = np.concatenate([catalogue.vectors, _vectors(parts, new)]) if new else catalogue.vectors
    grown = Catalogue(items, text_of_item, vectors)
    said = {place_of[item]: (int(text_of_item[place_of[item]]), row) for item, row in cleaned.items()}
    lexical = parts.lexical.with_items(said, catalogue.items, size)
    changed = pl.DataFrame([pl.Series(name, [row[name] for row in cleaned.values()], dtype)
                            for name, dtype in schema.items() if name != "text"])
    reworded = [row for item, row in place_of.items()
                if row < len(catalogue) and catalogue.items["text"][row] != cleaned[item]["text"]]
    promotions = parts.promotions and replace(parts.promotions, promotions=parts.promotions.promotions.grown(size))
    found = replace(
        parts, catalogue=grown, ranker=parts.ranker.grown(grown), lexical=lexical,
        attributes=parts.attributes.grown(reworded, size),
        ties=np.concatenate([parts.ties, np.arange(len(parts.ties), size, dtype=np.int32)]), promotions=promotions,
        router=parts.router.grown(changed, list(place_of.values()), size), shelves=parts.shelves.grown(size))
    if parts.search.text:
        vars(found)["encoder"] = parts.encoder  # opened once
    return found


def read_items(parts: BundleParts, rows: Any) -> dict[str, dict[str, Any]]:
    """Rows of the items table cleaned, by item id; of two rows with one id the later counts.

    Args:
        parts: of the bundle whose columns they have.
        rows: see `Bundle.with_items`.

    Raises:
        RequestError: no list of rows; a row without item_id, with a strange column or a value of another type.
    """
    schema, given = parts.catalogue.items.schema, read_list(rows, "items", "rows with item_id")
    read = (_read_row(row, f"items, row {place}", schema) for place, row in enumerate(given))
    return {row["item_id"]: row for row in read}


def _vectors(parts: BundleParts, texts: list[str]) -> np.ndarray:
    """float32 [n, d] of new texts; zeros, like nothing, where the encoder cannot read the shop's script."""
    if not parts.search.text:
        return np.zeros((len(texts), parts.catalogue.vectors.shape[1]), np.float32)
    return parts.encoder.encode(texts)


def _read_row(row: Any, where: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """One row cleaned: every column of the catalogue, None where it is not given.

    Raises:
        RequestError: no mapping, no item_id, a column the items do not have, or a value of another type.
    """
    if not isinstance(row, Mapping):
        raise RequestError(where, f"{show(row)} is no row", "give rows with item_id and the columns of the items table")
    given = {name: value for name, value in row.items() if name not in MADE}
    strange = [name for name in given if name not in schema]
    if strange:
        raise RequestError(where, f"items have no column {show(strange[0])}", f"use some of {', '.join(schema)}")
    item = read_id(given.get("item_id"), where)
    if item is None:
        raise RequestError(where, "names no item_id", "give every item its id")
    read = {name: _read_value(value, f"{where}, {name!r}", schema[name]) for name, value in given.items()}
    return {**dict.fromkeys(schema), **read, **clean_item({**read, "item_id": item})}


def _read_value(value: Any, where: str, dtype: Any) -> Any:
    value = read_scalar(value, where)
    if value is None:
        return None
    if dtype == pl.String:
        return as_text(value)
    if dtype.is_numeric():
        number = read_number(value, where, f"give a number: the column holds {dtype}")
        return int(number) if dtype.is_integer() else number
    return value


def _replaced(items: pl.DataFrame, cleaned: Mapping[str, Mapping[str, Any]], place_of: Mapping[str, int], size: int
              ) -> pl.DataFrame:
    """The table with rows replaced and added; column by column, for no Polars expression runs in a forked worker."""
    columns = []
    for name, dtype in items.schema.items():
        values = items[name].to_list() + [None] * (size - items.height)
        for item, row in cleaned.items():
            values[place_of[item]] = row[name]
        try:
            columns.append(pl.Series(name, values, dtype))
        except (TypeError, OverflowError) as error:
            raise RequestError(f"items, {name!r}", f"a value is no {dtype} ({error})", "give values of its type") from None
    return pl.DataFrame(columns)
