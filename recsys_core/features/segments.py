"""Which events and which items belong to which segment: the shop's SQL conditions, evaluated in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import polars as pl

from recsys_core.errors import DataError, ShopError
from recsys_core.ingestion import split_condition
from recsys_core.schema import SEGMENT_EVENTS

if TYPE_CHECKING:
    from recsys_core.ingestion import SegmentSpec

NEW_USERS, SCENE = "new_users", "scene"
_USERS = "LEFT JOIN users ON events.user_id = users.user_id"
_ITEMS = "LEFT JOIN items ON events.item_id = items.item_id"
_CONTEXT = "LEFT JOIN context ON events.context = context._text"


def select_segment_events(connection: duckdb.DuckDBPyConnection, events: pl.DataFrame, segments: Sequence[SegmentSpec],
                          opening: str, order_only: bool, new_user_events: int, has_context: bool = False) -> pl.DataFrame:
    """Evaluate every segment's predicate over its positive events, joined to users, items and context.

    Args:
        connection: holds tables users, items and context (_text and a column per declared name), whose keys are unique, and
            events, which is:
        events: the positive events, with _file, ascending _row and, where a segment is about new users, _first_day and _rank.
        segments: predicates over the aliases events, users, items and context.
        opening: the shop's first local day, ISO.
        order_only: the shop has no times: `new_users` then means a user's first `new_user_events`.
        has_context: the shop declares `context`; without, there is no such alias.

    Returns:
        `schema.SEGMENT_EVENTS` and _file, sorted by _file and segment, then in the order of the events table.

    Raises:
        ShopError: a predicate cannot be evaluated; names the segment.
        DataError: a join repeated or lost events.
    """
    segments = sorted(segments, key=lambda segment: segment.name)
    conditions = [_condition(segment, opening, order_only, new_user_events) for segment in segments]
    joined = f"FROM events {_USERS} {_ITEMS} {_CONTEXT if has_context else ''}"
    empty = pl.DataFrame(schema={"_file": pl.Int32, **SEGMENT_EVENTS})
    if not segments:
        return empty
    columns = ", ".join(f"coalesce(({condition}), false) AS s{n}" for n, condition in enumerate(conditions))
    try:
        member = connection.execute(f"SELECT events._row, {columns} {joined}").pl().sort("_row")
    except duckdb.Error as error:
        raise _culprit(connection, segments, conditions, joined, error) from None
    if not member["_row"].equals(events["_row"]):
        raise DataError("segment_events", f"joins to users, items and context made {member.height} rows of {events.height}",
                        "make user_id in users and item_id in items unique")
    parts = [empty]
    for n, segment in enumerate(segments):
        parts.append(events.filter(member[f"s{n}"]).select("_file", pl.lit(segment.name).alias("segment"), "event_id"))
    return pl.concat(parts).sort("_file", maintain_order=True)


def _condition(segment: SegmentSpec, opening: str, order_only: bool, new_user_events: int) -> str:
    """The segment's predicate with what its kind adds, as one SQL condition."""
    parts = [f"({segment.where}\n)"]  # the line break ends a trailing SQL comment
    if segment.kind == SCENE:
        parts += [f"events.day >= DATE '{segment.start}'"] if segment.start else []
        parts += [f"events.day <= DATE '{segment.end}'"] if segment.end else []
    elif segment.kind == NEW_USERS and order_only:
        parts.append(f"events._rank <= {new_user_events}")
    elif segment.kind == NEW_USERS:
        # Users already there when the log begins may be old customers, so they are left out.
        parts.append(f"events._first_day >= DATE '{opening}' + {segment.first_days // 3}")
        parts.append(f"events.day < events._first_day + {segment.first_days}")
    return " AND ".join(parts)


def _culprit(connection: duckdb.DuckDBPyConnection, segments: Sequence[SegmentSpec],
             conditions: Sequence[str], joined: str, error: duckdb.Error) -> Exception:
    """Evaluate the predicates one by one to name the segment that fails."""
    for segment, condition in zip(segments, conditions, strict=True):
        try:
            connection.execute(f"SELECT count(*) FILTER ({condition}) {joined}").fetchone()
        except duckdb.Error as alone:
            reason = str(alone).splitlines()[0]
            return ShopError(f"segment {segment.name!r}", f"its predicate {segment.where!r} fails: {reason}",
                             "correct `where` in shop.yaml; it sees the aliases events, users, items and context")
    return DataError("segment_events", str(error).splitlines()[0], "raise memory_limit or lower threads")


def candidate_items(items: pl.DataFrame, segments: Sequence[SegmentSpec]) -> dict[str, np.ndarray]:
    """Which items each segment's requests may be answered with.

    Args:
        items: `schema.CLEAN_ITEMS` plus the shop's columns.
        segments: the shop's.

    Returns:
        segment → bool [N] in the order of `items`, for every segment whose condition says something of items.

    Raises:
        ShopError: the condition cannot be evaluated, or no request can meet it; names the segment.
    """
    found = {}
    with duckdb.connect(":memory:") as connection:
        connection.register("items", items.with_row_index("_row"))
        for segment in segments:
            candidates = split_condition(segment.where, segment.name).candidates
            if candidates == "true":
                continue
            try:
                rows = connection.execute(f"SELECT _row FROM items WHERE {candidates}").fetchnumpy()["_row"]
            except duckdb.Error as error:
                raise ShopError(f"segment {segment.name!r}", f"{candidates} fails: {str(error).splitlines()[0]}",
                                "correct `where` in shop.yaml") from None
            found[segment.name] = np.zeros(items.height, bool)
            found[segment.name][rows.astype(np.int64)] = True
    return found
