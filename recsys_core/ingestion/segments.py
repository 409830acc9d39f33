"""Segment predicates are checked against the shop's columns before any event is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import polars as pl

from recsys_core.errors import ShopError
from recsys_core.ingestion.config import SegmentSpec

JOINED = ("events LEFT JOIN users ON users.user_id = events.user_id "
          "LEFT JOIN items ON items.item_id = events.item_id")


def validate_segments(segments: Sequence[SegmentSpec], tables: Mapping[str, Mapping[str, pl.DataType]],
                      artefact: str) -> None:
    """Try every segment's predicate on tables of one empty row, so that a typo keeps the shop from opening.

    Args:
        segments: the shop's segments.
        tables: column name → dtype for each of "events", "users" and "items".
        artefact: the file an error should name.

    Raises:
        ShopError: a predicate that is not one SQL expression over the known columns.
    """
    connection = duckdb.connect()
    try:
        for name, columns in tables.items():
            declared = ", ".join(f"{_quoted(column)} {_sql_type(dtype)}" for column, dtype in columns.items())
            connection.execute(f"CREATE TABLE {name} ({declared})")
            connection.execute(f"INSERT INTO {name} DEFAULT VALUES")  # one row, so that casts are tried
        for segment in segments:
            query = f"SELECT 1 FROM {JOINED} WHERE ({segment.where}\n)"
            try:
                if len(connection.extract_statements(query)) != 1:
                    raise duckdb.ParserException("more than one statement")
                connection.execute(query)
            except duckdb.Error as error:
                known = ", ".join(f"{name}.{column}" for name in ("events", "users", "items")
                                  for column in tables[name])
                message = str(error).split("\n\nLINE")[0].replace("\n", " ")
                raise ShopError(
                    artefact, f"segment {segment.name!r}: where {segment.where!r} does not parse ({message})",
                    f"write one SQL condition over {known}") from None
    finally:
        connection.close()


def _quoted(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'


def _sql_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "BIGINT"
    if dtype.is_numeric():
        return "DOUBLE"
    if dtype.is_temporal():
        return "DATE" if dtype == pl.Date else "TIMESTAMPTZ"
    return "BOOLEAN" if dtype == pl.Boolean else "VARCHAR"
