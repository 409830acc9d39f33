"""The feature store: four point-in-time tables, computed in memory, committed to DuckDB together.

DuckDB allows one writing process per file and locks readers out meanwhile, so everything is
computed and checked on a private in-memory connection; the file is open only for one short
transaction, and keeps its old content when anything fails.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.errors import DataError
from recsys_core.features.context import context_values
from recsys_core.features.segments import select_segment_events
from recsys_core.schema import CLEAN_EVENTS, CLICK, FEATURE_TABLES, IMPRESSION, POSITIVE_EVENTS, PURCHASE

if TYPE_CHECKING:
    from recsys_core.ingestion import SegmentSpec

log = logging.getLogger(__name__)


class FeatureConfig(BaseModel, frozen=True, extra="forbid"):
    """How features are computed."""

    order_only: bool = Field(False, description="the shop has positions instead of times")
    outcome: Literal["auto", "purchase", "click"] = Field(
        "auto", description="what an impression should lead to; auto: purchase if there is any, else click")
    new_user_events: int = Field(3, gt=0, description="a new user's events in an order-only shop")
    memory_limit: str = Field(
        "1200MB", description="DuckDB's memory; beyond it, it spills beside the database")
    threads: int = Field(2, gt=0, description="DuckDB's threads")


def build_features(database: Path, clean_events: pl.LazyFrame, clean_items: pl.DataFrame,
                   users: pl.DataFrame | None, segments: Sequence[SegmentSpec],
                   config: FeatureConfig, context: Sequence[str] = (), asked: Collection[str] = tuple(FEATURE_TABLES)
                   ) -> dict[str, pl.DataFrame]:
    """Compute every table of `schema.FEATURE_TABLES`, and replace those asked for in the database at once.

    Args:
        database: DuckDB file, made if missing.
        clean_events: `schema.CLEAN_EVENTS`, any order, unique event_id.
        clean_items: `schema.CLEAN_ITEMS` plus the shop's columns, unique item_id.
        users: unique user_id and the shop's columns, or None.
        segments: the shop's segments.
        config: outcome of an impression, memory and threads.
        context: the declared names that a segment's condition may speak of as context.<name>.
        asked: the tables to replace and return; all are computed and checked together. The database and the snapshots of
            the others stay as they are, both.

    Returns:
        Table name → frame with exactly the schema's columns, deterministically sorted.

    Raises:
        DataError: no events, none that a model can learn from, repeated keys, a join that changed the number of rows, or a
            database that cannot be written.
        ShopError: a segment's predicate fails.
    """
    spill = database.parent / f".staging-{database.name}-spill"
    spill.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET threads = {config.threads}; "
                           "SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        event_ids, counts = _load(connection, clean_events, clean_items, users, context)
        tables = {}
        for name in FEATURE_TABLES:
            if name == "segment_events":
                table = select_segment_events(connection, event_ids, segments, config.order_only,
                                              config.new_user_events, has_context=bool(context))
            else:
                table = _compute(connection, name, config.outcome)
            tables[name] = _as_contract(name, table)
            log.info("%s: %d rows", name, tables[name].height)
    _check_counts(tables, counts)
    tables = {name: table for name, table in tables.items() if name in asked}
    _commit(database, tables, config)
    return tables


def _load(connection: duckdb.DuckDBPyConnection, clean_events: pl.LazyFrame, clean_items: pl.DataFrame,
          users: pl.DataFrame | None, context: Sequence[str]) -> tuple[pl.Series, dict[str, int]]:
    """Make tables events, items, users and context; returns event ids by row and the row counts to expect."""
    events = clean_events.select(*CLEAN_EVENTS).collect(engine="in-memory")
    if events.is_empty():
        raise DataError("clean_events", "no data: the table is empty", "load days that have events")
    _check_unique("clean_events", events["event_id"])
    _check_unique("clean_items", clean_items["item_id"])
    users = pl.DataFrame(schema={"user_id": pl.String}) if users is None else users
    _check_unique("raw_users", users["user_id"])
    positive = pl.col("event_type").is_in(POSITIVE_EVENTS)
    events = events.sort("user_id", "timestamp", "event_id").with_row_index("_row").with_columns(
        positive.alias("_positive"), pl.col("day").min().over("user_id").alias("_first_day"),
        positive.cast(pl.UInt32).cum_sum().over("user_id").alias("_rank"))
    known = events["item_id"].is_in(clean_items["item_id"].implode())
    counts = {"interactions": int((events["_positive"] & known).sum()),
              "exposures": int((events["event_type"] == IMPRESSION).sum())}
    left_out = int((events["_positive"] & ~known).sum())
    if left_out:
        log.warning("%d positive events of items outside the catalogue stay out of interactions", left_out)
    if not counts["interactions"]:
        found = ", ".join(f"{n:,} {name}" for name, n in events["event_type"].value_counts(sort=True).iter_rows())
        raise DataError("clean_events", f"no {', '.join(POSITIVE_EVENTS[:-1])} or {POSITIVE_EVENTS[-1]} of a known item is "
                        f"there, only {found}", "deliver events that say what shoppers wanted; event_types maps other names")
    connection.register("event_frame", events)
    # Money as decimals, so that its sums do not depend on the order of threads.
    connection.execute(f"""
        CREATE TABLE events AS SELECT *,
            CASE WHEN event_type = '{PURCHASE}'
                THEN CAST(coalesce(quantity, 1) AS DECIMAL(38, 4)) END AS _quantity,
            CASE WHEN event_type = '{PURCHASE}'
                THEN CAST(price * coalesce(quantity, 1) AS DECIMAL(38, 4)) END AS _value
        FROM event_frame""")
    connection.unregister("event_frame")
    connection.register("items", clean_items)
    connection.register("users", users)
    connection.register("context", _contexts(events["context"], context))
    return events["event_id"], counts


def _contexts(column: pl.Series, names: Sequence[str]) -> pl.DataFrame:
    """One row per context that events carry: `_text`, and a String column per name."""
    texts = column.drop_nulls().unique(maintain_order=True)
    return pl.DataFrame([texts.alias("_text"), *(context_values(texts, name) for name in names)])


def _check_unique(artefact: str, keys: pl.Series) -> None:
    repeated = keys.is_duplicated()
    if keys.null_count() or repeated.any():
        example = keys.filter(repeated)
        culprit = "an empty key" if keys.null_count() else f"{keys.name} {example[0]!r} is repeated"
        raise DataError(artefact, culprit, f"make {keys.name} unique: joins on it would multiply rows")


def _compute(connection: duckdb.DuckDBPyConnection, name: str, outcome: str) -> pl.DataFrame:
    query = files("recsys_core.features").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    parameters = None
    if name == "exposures":
        if outcome == "auto":
            types = connection.execute("SELECT DISTINCT event_type FROM events").fetchall()
            outcome = PURCHASE if (PURCHASE,) in types else CLICK
        parameters = {"outcome": outcome}
    try:
        return connection.execute(query, parameters).pl()
    except duckdb.OutOfMemoryException as error:
        raise DataError(name, f"not enough memory: {str(error).splitlines()[0]}",
                        "raise memory_limit or free disk space beside the database") from None


def _as_contract(name: str, table: pl.DataFrame) -> pl.DataFrame:
    contract = FEATURE_TABLES[name]
    return table.select(pl.col(column).cast(dtype) for column, dtype in contract.items())


def _check_counts(tables: dict[str, pl.DataFrame], counts: dict[str, int]) -> None:
    for name, expected in counts.items():
        if tables[name].height != expected:
            raise DataError(name, f"{tables[name].height} rows instead of {expected}",
                            "look for repeated keys in clean_items and clean_events")


def _commit(database: Path, tables: dict[str, pl.DataFrame], config: FeatureConfig) -> None:
    """Replace these tables in one transaction."""
    try:
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET threads = {config.threads}; "
                               "SET TimeZone = 'UTC'; BEGIN")
            for name, table in tables.items():
                connection.register("new_rows", table)
                connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM new_rows')
                connection.unregister("new_rows")
            connection.execute("COMMIT")
    except (duckdb.Error, OSError) as error:
        raise DataError(str(database), str(error).splitlines()[0],
                        "close other programs that have it open, check free space and rights; "
                        "the previous tables are intact") from None
