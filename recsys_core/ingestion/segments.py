"""Segments and families are checked against the shop's columns before any event is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import duckdb
import polars as pl
from polars.datatypes import DataTypeClass

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.conditions import KNOWN_EVENT_COLUMNS, split_condition
from recsys_core.ingestion.config import FamilySpec, SegmentSpec, nearest

USERS = "LEFT JOIN users ON users.user_id = events.user_id"
ITEMS = "LEFT JOIN items ON items.item_id = events.item_id"
Columns = Mapping[str, schema.Columns]


def validate_segments(segments: Sequence[SegmentSpec], tables: Columns, artefact: str) -> None:
    """Try every segment's condition on tables of one empty row, so that a typo keeps the shop from opening.

    Args:
        segments: the shop's segments.
        tables: column name → dtype for each of "events", "users", "items" and "context" (the declared names).
        artefact: the file an error should name.

    Raises:
        ShopError: a condition that is not one SQL expression over the known columns, or that no request can meet
            (see `split_condition`).
    """
    _tried(tuple(segments), tuple((name, tuple(columns.items())) for name, columns in tables.items()), artefact)


@lru_cache(maxsize=16)  # a night opens the shop in every step, and the answer follows from these arguments alone
def _tried(segments: tuple[SegmentSpec, ...], told: tuple[tuple[str, tuple[tuple[str, pl.DataType | DataTypeClass], ...]], ...],
           artefact: str) -> None:
    tables = {name: dict(columns) for name, columns in told}
    context = "CROSS JOIN context" if tables.get("context") else ""
    known = [f"events.{name}" for name in KNOWN_EVENT_COLUMNS]
    known += [f"{name}.{column}" for name in ("context", "users", "items") for column in tables.get(name, ())]
    with duckdb.connect(":memory:") as connection:
        for name, columns in tables.items():
            if columns:
                declared = ", ".join(f"{_quoted(column)} {_sql_type(dtype)}" for column, dtype in columns.items())
                connection.execute(f"CREATE TABLE {name} ({declared})")
                connection.execute(f"INSERT INTO {name} DEFAULT VALUES")  # one row, so that casts are tried
        for segment in segments:
            _try(connection, segment, segment.where, f"events {context} {USERS} {ITEMS}", known, artefact)
            parts = split_condition(segment.where, segment.name, artefact)
            _try(connection, segment, parts.asked, f"events {context} {USERS}", known, artefact)
            _try(connection, segment, parts.candidates, "items", known, artefact)


def refuse_ids(segments: Sequence[SegmentSpec], artefact: str) -> None:
    """See that no segment's condition names shoppers: under a key, no id of the shop is in any table.

    Raises:
        ShopError: a condition over user_id.
    """
    for segment in segments:
        if re.search(r"\buser_id\b", segment.where, re.IGNORECASE):
            raise ShopError(artefact, f"segment {segment.name!r}: where {segment.where!r} reads user_id, which is a pseudonym "
                            "where RECSYS_USER_KEY is set", "select by another column of users")


def _try(connection: duckdb.DuckDBPyConnection, segment: SegmentSpec, condition: str, source: str,
         known: Sequence[str], artefact: str) -> None:
    query = f"SELECT 1 FROM {source} WHERE ({condition}\n)"
    try:
        if len(connection.extract_statements(query)) != 1:
            raise duckdb.ParserException("more than one statement")
        connection.execute(query)
    except duckdb.Error as error:
        message = str(error).split("\n\nLINE")[0].replace("\n", " ")
        raise ShopError(artefact, f"segment {segment.name!r}: where {segment.where!r} does not parse ({message})",
                        f"write one SQL condition over {', '.join(known)}") from None


def validate_families(families: Sequence[FamilySpec], tables: Columns, artefact: str) -> None:
    """See that what tells a family's segments apart is there.

    Args:
        families: the shop's families.
        tables: as for `validate_segments`.
        artefact: the file an error should name.

    Raises:
        ShopError: `by` names no declared context and no column of users.
    """
    for family in families:
        table, column = family.by.split(".", 1)
        known = [name for name in tables.get(table, ()) if (table, name) != ("users", "user_id")]
        if column not in known:
            fix = f"declare it: context: [{column}]" if table == "context" else "add the column to the users table"
            if known:
                fix = f"use {', '.join(f'{table}.{name}' for name in known)}, or {fix}"
            raise ShopError(artefact, f"family {family.name!r}: {family.by} does not exist{nearest(column, known)}", fix)


def _quoted(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'


def _sql_type(dtype: pl.DataType | DataTypeClass) -> str:
    if dtype.is_integer():
        return "BIGINT"
    if dtype.is_numeric():
        return "DOUBLE"
    if dtype.is_temporal():
        return "DATE" if dtype == pl.Date else "TIMESTAMPTZ"
    return "BOOLEAN" if dtype == pl.Boolean else "VARCHAR"
