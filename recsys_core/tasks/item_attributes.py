"""Further columns of the catalogue: what proven tasks of spans read off the items' texts, where the shop says nothing."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.amounts import normalise, unit_kind
from recsys_core.artefacts import folder_hash
from recsys_core.schema import CLEAN_ITEMS, ITEM_ATTRIBUTES
from recsys_core.tasks.gate import RemembersTexts
from recsys_core.tasks.kinds import KINDS

log = logging.getLogger(__name__)

OWN = frozenset(CLEAN_ITEMS) - {"brand"}  # columns that mean more than a value: none is filled
LINKS = frozenset(("of", "fl", "fluid"))  # words of an amount that are no unit
WORD = re.compile(r"[^\W\d_]+")


def extract_attributes(tasks: Path, about: Mapping[str, Mapping[str, Any]], student: Path, items: pl.DataFrame) -> pl.DataFrame:
    """Read every item's attributes by the proven tasks of spans; a value that the shop gives is never replaced.

    An attribute fills the shop's column of its name, letter case aside, where that holds text; else it makes a column.
    Amounts are told in one spelling ("12 Ounces" is "12 oz"), other values in the shop's or else the most frequent one.

    Args:
        tasks: the folder of their folders.
        about: name → what `adapt_task` found.
        student: its folder; without a proven task of spans it is not opened.
        items: `schema.CLEAN_ITEMS` and the shop's own columns.

    Returns:
        `schema.ITEM_ATTRIBUTES`, sorted. Of two tasks that know an attribute the first by name answers, as in `Bundle.extract`.
    """
    from recsys_core.student import ONNX, OnnxEncoder

    names = sorted(name for name, one in about.items() if one["proven"] and one["kind"] == "spans")
    if not names:
        return pl.DataFrame(schema=ITEM_ATTRIBUTES)
    reader = RemembersTexts(OnnxEncoder.load(student / ONNX))
    found: dict[tuple[str, str], tuple[str, str]] = {}  # item and column → value and task
    for name in reversed(names):
        adapter = KINDS["spans"].load(tasks / name, reader)
        columns = {attribute: _column_of(attribute, items.schema) for attribute in adapter.attributes}
        for item, values in zip(items["item_id"].to_list(), _read(adapter, reader, items), strict=True):
            found |= {(item, column): (value, name) for attribute, value in values.items() if (column := columns[attribute])}
    rows = [(item, column, value, task) for (item, column), (value, task) in found.items()]
    hashes = {name: folder_hash(tasks / name) for name in names}
    table = pl.DataFrame(rows, schema=list(ITEM_ATTRIBUTES)[:-1], orient="row", schema_overrides=dict.fromkeys(
        list(ITEM_ATTRIBUTES)[:-1], pl.String))
    return _where_silent(table, items).with_columns(
        pl.col("task").replace_strict(hashes, return_dtype=pl.String).alias("task_hash")).select(*ITEM_ATTRIBUTES).sort(
        "attribute", "item_id")


def _read(adapter: Any, reader: Any, items: pl.DataFrame) -> list[dict[str, str]]:
    """Of each item; texts that items share are read once."""
    pairs = list(zip(items["text"].to_list(), items["category"].to_list(), strict=True))
    distinct = list(dict.fromkeys(pairs))
    answers = dict(zip(distinct, adapter.extract(reader, *map(list, zip(*distinct, strict=True))), strict=True)) if pairs else {}
    return [answers[pair] for pair in pairs]


def _column_of(attribute: str, schema: Mapping[str, Any]) -> str | None:
    """The column that an attribute fills; None where it must not."""
    wanted = attribute.casefold().replace(" ", "_")
    column = next((name for name in schema if name.casefold() == wanted), attribute)
    if column in OWN or (column in schema and schema[column] != pl.String):
        log.warning("attribute %r makes no column: the items' %r is more than a value of text", attribute, column)
        return None
    return column


def _where_silent(table: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Rows of items whose own column is empty, values spelled alike."""
    parts = [table.clear()]
    for column in table["attribute"].unique(maintain_order=True).to_list():
        own = items["item_id", column].drop_nulls() if column in items.columns else items["item_id",].clear()
        rows = table.filter(pl.col("attribute") == column).join(own, on="item_id", how="anti")
        spelled = spell_alike(rows["value"].to_list(), own[column].unique().to_list() if own.width > 1 else ())
        parts.append(rows.with_columns(pl.Series("value", spelled, pl.String)))
    return pl.concat(parts)


def spell_alike(values: Sequence[str], given: Iterable[str]) -> list[str]:
    """Values in one spelling each.

    Args:
        values: as texts spell them.
        given: the shop's own, which are spelled right.

    >>> spell_alike(["steel", "Steel", "STEEL", "steel", "12 Ounces", "12oz", "pack of 6"], ["STEEL "])
    ['STEEL ', 'STEEL ', 'STEEL ', 'STEEL ', '12 oz', '12 oz', '6 pack']
    """
    counts: dict[str, Counter[str]] = {}
    for value in values:
        counts.setdefault(_key(value), Counter())[value.strip()] += 1
    told = {key: str(amount) if (amount := _amount(key)) else min(found, key=lambda name: (-found[name], name))
            for key, found in counts.items()}
    told |= {_key(value): value for value in sorted(given, reverse=True)}
    return [told[_key(value)] for value in values]


def _key(value: str) -> str:
    return _amount(value) or " ".join(value.casefold().split())


def _amount(value: str) -> str | None:
    """A value that is an amount and nothing else."""
    amount = normalise(value)
    whole = amount is not None and all(unit_kind(word) or word.casefold() in LINKS for word in WORD.findall(value))
    return str(amount) if whole else None
