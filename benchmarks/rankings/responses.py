"""Exposure and response features over every impression of a shop that promotes by store and week.

An impression is a product on promotion in a store in a week that a household visited it; its response is a
purchase of the product on such a visit. The embedded shop has 319 million. They are never held at once:
what the features count is summed before the join that multiplies the rows, and the rows themselves stream
to files of a few weeks, each row with what was known before its week began.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from pydantic import BaseModel, Field

from recsys_core.artefacts import staged_folder, write_json
from recsys_core.errors import DataError

log = logging.getLogger(__name__)

# What an impression is counted by; the columns of each table and of the rows' joins.
ENTITIES = {"product": ("product_id",), "household": ("household_id",),
            "household_department": ("household_id", "department")}
ROW_COLUMNS = ("week", "store_id", "household_id", "product_id", "label", "household_product_purchases",
               *(f"{entity}_{what}" for entity in ENTITIES for what in ("impressions", "responses")))


class ResponseConfig(BaseModel, frozen=True, extra="forbid"):
    """What the computation may use."""

    memory_limit: str = Field("2500MB", description="DuckDB's memory; beyond it, it spills into the target folder")
    threads: int = Field(2, gt=0, description="DuckDB's threads")
    impressions: bool = Field(True, description="also write every impression with its features, not only the counts")
    file_rows: int = Field(20_000_000, gt=0, description="a file of impressions ends with the week that reaches this")


@dataclass(frozen=True)
class ResponseSources:
    """Parquet files of the shop.

    Args:
        transactions: household_id, store_id, week, product_id, quantity. promotions: product_id, store_id, week.
        products: product_id, department.
    """

    transactions: Path
    promotions: Path
    products: Path


def build_responses(folder: Path, sources: ResponseSources, config: ResponseConfig) -> dict[str, int]:
    """Write the features of all impressions below `folder`, atomically.

    - product, household, household_department `.parquet`: per entity and week its `impressions` and `responses`
      of that week, and the same of all earlier weeks (`impressions_before`, `responses_before`);
    - impressions/weeks=AA-BB.parquet, where asked for: one row per impression with the columns `ROW_COLUMNS`, among
      them the label, the household's earlier purchases of the product (promoted or not), and each entity's counts
      of all earlier weeks.

    Returns:
        number of impressions, responses and weeks, as also written to responses.json.

    Raises:
        DataError: a file or column is missing, no impression is found, or the memory does not suffice.
    """
    with staged_folder(folder) as staging, _connect(staging, config) as connection:
        try:
            _load(connection, sources)
            for entity, keys in ENTITIES.items():
                connection.execute(f"CREATE TABLE {entity} AS {_state_query(keys)}")
                _copy(connection, f"SELECT * FROM {entity} ORDER BY {', '.join(keys)}, week",
                      staging / f"{entity}.parquet")
            expected, responses, weeks = connection.execute("""
                SELECT coalesce(sum(impressions), 0), sum(responses), count(DISTINCT week) FROM household""").fetchone()
            written = expected
            if config.impressions:
                written = _write_impressions(connection, staging / "impressions", config)
        except duckdb.OutOfMemoryException as error:
            raise DataError("responses", f"not enough memory: {str(error).splitlines()[0]}",
                            "raise memory_limit or free disk space beside the target") from None
        except duckdb.Error as error:
            raise DataError("responses", str(error).splitlines()[0],
                            "check the three Parquet files and their columns") from None
        if not expected or written != expected:
            raise DataError("responses", f"{written} rows for {expected} impressions",
                            "look for repeated product ids, and for promotions in the stores and weeks of the visits")
        found = {"impressions": int(expected), "responses": int(responses), "weeks": int(weeks)}
        write_json(staging / "responses.json", found)
    return found


@contextmanager
def _connect(staging: Path, config: ResponseConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private in-memory connection that spills into the staging folder, and leaves nothing there."""
    spill = staging / "spill"
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET threads = {config.threads}; "
                           "SET preserve_insertion_order = false")
        connection.execute("SET temp_directory = ?", [str(spill)])
        yield connection
    if spill.is_dir():
        for leftover in spill.iterdir():
            leftover.unlink()
        spill.rmdir()


def _load(connection: duckdb.DuckDBPyConnection, sources: ResponseSources) -> None:
    """Tables shown (product in store and week), visits, bought and responses; each row once."""
    for name in ("transactions", "promotions", "products"):
        path = str(getattr(sources, name)).replace("'", "''")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
    # Sorted by week, so that reading one week skips the others' blocks.
    connection.execute("""
        CREATE TABLE shown AS
        SELECT product_id::INTEGER AS product_id, store_id::INTEGER AS store_id, week::SMALLINT AS week,
            coalesce(department, '') AS department
        FROM (SELECT DISTINCT product_id, store_id, week FROM promotions)
        LEFT JOIN products USING (product_id)
        ORDER BY week, store_id""")
    connection.execute("""
        CREATE TABLE visits AS
        SELECT DISTINCT household_id::INTEGER AS household_id, store_id::INTEGER AS store_id, week::SMALLINT AS week
        FROM transactions""")
    connection.execute("""
        CREATE TABLE bought AS
        SELECT household_id::INTEGER AS household_id, store_id::INTEGER AS store_id, week::SMALLINT AS week,
            product_id::INTEGER AS product_id, count(*)::INTEGER AS purchases
        FROM transactions WHERE quantity > 0
        GROUP BY ALL""")
    connection.execute("""
        CREATE TABLE responses AS
        SELECT household_id, store_id, week, product_id, department
        FROM bought JOIN shown USING (product_id, store_id, week)""")

    # A household's purchases of a product, as they stand after one week and through another.
    connection.execute("""
        CREATE TABLE known AS
        SELECT household_id, product_id, week AS after_week, sum(purchases) OVER so_far AS purchases,
            coalesce(lead(week) OVER so_far, 32767::SMALLINT) AS through_week
        FROM (SELECT household_id, product_id, week, sum(purchases) AS purchases FROM bought GROUP BY ALL)
        WINDOW so_far AS (PARTITION BY household_id, product_id ORDER BY week)""")


def _write_impressions(connection: duckdb.DuckDBPyConnection, folder: Path, config: ResponseConfig) -> int:
    """Stream all rows to files of a few weeks; returns their number."""
    folder.mkdir()
    written = 0
    for first, last in _batches(connection, config.file_rows):
        written += _copy(connection, _row_query(first, last), folder / f"weeks={first:02d}-{last:02d}.parquet")
        log.info("weeks %d to %d: %d impressions so far", first, last, written)
    return written


def _batches(connection: duckdb.DuckDBPyConnection, file_rows: int) -> Iterator[tuple[int, int]]:
    """First and last of consecutive weeks that together reach so many impressions."""
    weeks = connection.execute(
        "SELECT week, sum(impressions) FROM household GROUP BY week ORDER BY week").fetchall()
    first, rows = None, 0
    for week, impressions in weeks:
        first, rows = week if first is None else first, rows + impressions
        if rows >= file_rows or week == weeks[-1][0]:
            yield first, week
            first, rows = None, 0


def _state_query(keys: tuple[str, ...]) -> str:
    """Counts per entity and week, and of the weeks before.

    How often a product was seen is Σ over stores of the visits there; what a household saw, Σ over its visits of the
    promotions there. So 319 million rows are counted from 21 million promotions and 87 thousand visits.
    """
    names = ", ".join(keys)
    crowd = [key for key in keys if key != "household_id"]  # of the promotions; a household belongs to the visits
    per_place = ", ".join(["store_id", "week", *crowd])
    if "household_id" in keys:
        seen = f"""SELECT {names}, week, sum(promotions) AS impressions
            FROM visits JOIN (SELECT {per_place}, count(*) AS promotions FROM shown GROUP BY ALL) USING (store_id, week)
            GROUP BY ALL"""
    else:
        seen = f"""SELECT {names}, week, sum(visits) AS impressions
            FROM shown JOIN (SELECT store_id, week, count(*) AS visits FROM visits GROUP BY ALL) USING (store_id, week)
            GROUP BY ALL"""
    return f"""
        SELECT {names}, week, impressions::INTEGER AS impressions, coalesce(taken.responses, 0)::INTEGER AS responses,
            (sum(impressions) OVER so_far - impressions)::INTEGER AS impressions_before,
            (sum(coalesce(taken.responses, 0)) OVER so_far - coalesce(taken.responses, 0))::INTEGER AS responses_before
        FROM ({seen})
        LEFT JOIN (SELECT {names}, week, count(*) AS responses FROM responses GROUP BY ALL) AS taken
            USING ({names}, week)
        WINDOW so_far AS (PARTITION BY {names} ORDER BY week)"""


def _row_query(first: int, last: int) -> str:
    """The impressions of some weeks; every entity has a row in its week, because the impression itself counts there."""
    during = f"WHERE week BETWEEN {first} AND {last}"
    joins = "\n".join(f"JOIN (SELECT * FROM {entity} {during}) AS {entity} USING ({', '.join(keys)}, week)"
                      for entity, keys in ENTITIES.items())
    counts = ", ".join(f"{entity}.{what}_before AS {entity}_{what}"
                       for entity in ENTITIES for what in ("impressions", "responses"))
    return f"""
        SELECT week, store_id, household_id, product_id, (taken.product_id IS NOT NULL)::TINYINT AS label,
            coalesce(known.purchases, 0)::INTEGER AS household_product_purchases, {counts}
        FROM (SELECT * FROM shown {during}) AS shown
        JOIN (SELECT * FROM visits {during}) AS visits USING (store_id, week)
        {joins}
        LEFT JOIN (SELECT * FROM responses {during}) AS taken USING (household_id, product_id, store_id, week)
        LEFT JOIN known ON known.household_id = visits.household_id AND known.product_id = shown.product_id
            AND week > known.after_week AND week <= known.through_week"""


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows to a Parquet file; returns their number."""
    target = str(path).replace("'", "''")
    return connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)").fetchone()[0]
