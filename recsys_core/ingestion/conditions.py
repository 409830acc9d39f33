"""What a segment's condition speaks of: what a request knows when it asks, and which items are its candidates.

An adapter is asked for by a request, which carries a user, a moment and the declared context. Whatever else an
event says (a price paid, a coupon used) is only known once it has happened: a condition on it would describe
the answer. DuckDB's own parser splits a condition at its top-level ANDs and writes the parts back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from recsys_core.errors import ShopError

KNOWN_EVENT_COLUMNS = ("user_id", "day", "timestamp")
ALIASES = ("events", "users", "items", "context")
MANY_ROWS = {"SUBQUERY": "a subquery", "WINDOW": "a window function", "STAR": "a star"}


@dataclass(frozen=True)
class Condition:
    """A segment's condition in two, each SQL over its own columns and "true" where nothing is said.

    Args:
        asked: over users.*, context.*, events.user_id, events.day and events.timestamp.
        candidates: over items.*: which items the request may be answered with.
    """

    asked: str
    candidates: str


@cache
def split_condition(where: str, segment: str = "", artefact: str = "shop.yaml") -> Condition:
    """Sort the parts of a condition by what they speak of.

    Args:
        where: one SQL condition; every column is written with its table.
        segment: its name and file, for errors.
        artefact: its name and file, for errors.

    Raises:
        ShopError: a part that no request can know, that mixes items with anything else, or that names a column
            without its table; a condition that does not parse.

    >>> split_condition("users.age > 30 AND items.department = 'DELI' AND context.store = '367'")
    Condition(asked="(users.age > 30) AND (context.store = '367')", candidates="(items.department = 'DELI')")
    """
    asked: list[str] = []
    candidates: list[str] = []
    for text, part in _parts(where, segment, artefact):
        tables = {_table_of(names, text, segment, artefact) for names in _columns(part, text, segment, artefact)}
        if "items" in tables and len(tables) > 1:
            others = ", ".join(sorted(f"{name}.*" for name in tables - {"items"}))
            raise _refused(artefact, segment, f"{text} mixes items.* with {others}, so it says neither who asks nor "
                           "what is offered", "split it with AND: one part over items.*, one over the others")
        (candidates if "items" in tables else asked).append(text)
    return Condition(*(" AND ".join(texts) or "true" for texts in (asked, candidates)))


def _parts(where: str, segment: str, artefact: str) -> list[tuple[str, dict[str, Any]]]:
    """The condition's top-level AND parts as text and as DuckDB's syntax tree; "true" has none."""
    with duckdb.connect(":memory:") as connection:
        query = f"SELECT 1 WHERE ({where}\n)"  # the line break ends a trailing SQL comment
        tree = json.loads(_answer(connection, "SELECT json_serialize_sql(?::VARCHAR)", query))
        if tree["error"] or len(tree["statements"]) != 1:
            raise _refused(artefact, segment, f"where {where!r} does not parse "
                           f"({tree.get('error_message', 'more than one statement')})", "write one SQL condition")
        node = tree["statements"][0]["node"]
        whole = node["where_clause"]
        children = whole["children"] if whole["type"] == "CONJUNCTION_AND" else [whole]
        found = []
        for child in children:
            node["where_clause"] = child
            written = _answer(connection, "SELECT json_deserialize_sql(?::JSON)", json.dumps(tree))
            text = written.split(" WHERE ", 1)[1]
            found.append((text if text.startswith("(") else f"({text})", child))
    return [] if where.strip().lower() == "true" else found


def _answer(connection: duckdb.DuckDBPyConnection, query: str, given: str) -> str:
    """The one text that a query of one parameter gives."""
    row = connection.execute(query, [given]).fetchone()
    return str(row[0]) if row else ""


def _columns(tree: Any, text: str, segment: str, artefact: str) -> Iterator[Sequence[str]]:
    """The column names in a syntax tree, as written: (table, column, …).

    Raises:
        ShopError: it looks at more than one row.
    """
    if isinstance(tree, list):
        for branch in tree:
            yield from _columns(branch, text, segment, artefact)
    elif isinstance(tree, dict):
        if tree.get("class") in MANY_ROWS:
            raise _refused(artefact, segment, f"{text} holds {MANY_ROWS[tree['class']]}, which reads other rows than "
                           "the request's", "make it a column of users or items")
        if tree.get("class") == "COLUMN_REF":
            yield tree["column_names"]
        for branch in tree.values():
            yield from _columns(branch, text, segment, artefact)


def _table_of(names: Sequence[str], text: str, segment: str, artefact: str) -> str:
    """The table a column belongs to, if a request can know the column."""
    if len(names) < 2 or names[0].lower() not in ALIASES:
        raise _refused(artefact, segment, f"{'.'.join(names)} in {text} does not say its table",
                       f"write {', '.join(f'{alias}.{names[-1]}' for alias in ALIASES[1:])} or events.user_id, …")
    table, column = names[0].lower(), names[1].lower()
    if table == "events" and column not in KNOWN_EVENT_COLUMNS:
        raise _refused(artefact, segment, f"events.{column} in {text} is known only once the event has happened, so no "
                       "request can know it", ("write items.item_id, " if column == "item_id" else "")
                       + "make it a shelf (table shelves: shelf, item_id, first_day, last_day), or declare the "
                       "column in `context`")
    return table


def _refused(artefact: str, segment: str, culprit: str, fix: str) -> ShopError:
    return ShopError(artefact, f"segment {segment!r}: {culprit}", fix)
