"""Exposure and response features over every impression of a shop that promotes by store and week.

An impression is a product on promotion in a store in a week that a household visited it; its response is a
purchase of the product on such a visit. The embedded shop has 319 million. They are never held at once:
what the features count is summed before the join that multiplies the rows, and the rows themselves are
written week by week, each with what was known before its week began.
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


def build_responses(folder: Path, sources: ResponseSources, config: ResponseConfig,
                    households: list[int] | None = None) -> dict[str, int]:
    """Write the features of all impressions below `folder`, atomically.

    - product, household, household_department `.parquet`: per entity and week its `impressions` and `responses`
      of that week, and the same of all earlier weeks (`impressions_before`, `responses_before`);
    - impressions/week=NN.parquet: one row per impression with the columns `ROW_COLUMNS`: `label`, the household's
      earlier purchases of the product (promoted or not), and each entity's counts of all earlier weeks.

    Args:
        households: only these; None: all.

    Returns:
        number of impressions, responses and weeks, as also written to responses.json.

    Raises:
        DataError: a file or column is missing, no impression is found, or the memory does not suffice.
    """
    with staged_folder(folder) as staging, _connect(staging, config) as connection:
        try:
            _load(connection, sources, households)
            for entity, keys in ENTITIES.items():
                connection.execute(f"CREATE TABLE {entity} AS {_state_query(keys)}")
                _copy(connection, f"SELECT * FROM {entity} ORDER BY {', '.join(keys)}, week",
                      staging / f"{entity}.parquet")
            weeks = [row[0] for row in connection.execute("SELECT DISTINCT week FROM visits ORDER BY week").fetchall()]
            written = 0
            for week in weeks:
                (staging / "impressions").mkdir(exist_ok=True)
                written += _copy(connection, _row_query(week), staging / "impressions" / f"week={week:02d}.parquet")
                log.info("week %d: %d impressions so far", week, written)
            totals = connection.execute("SELECT sum(impressions), sum(responses) FROM household").fetchone()
        except duckdb.OutOfMemoryException as error:
            raise DataError("responses", f"not enough memory: {str(error).splitlines()[0]}",
                            "raise memory_limit or free disk space beside the target") from None
        except duckdb.Error as error:
            raise DataError("responses", str(error).splitlines()[0],
                            "check the three Parquet files and their columns") from None
        expected, responses = totals
        if not expected or written != expected:
            raise DataError("responses", f"{written} rows for {expected or 0} impressions",
                            "look for repeated product ids, and for promotions in the stores and weeks of the visits")
        found = {"impressions": int(written), "responses": int(responses), "weeks": len(weeks)}
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


def _load(connection: duckdb.DuckDBPyConnection, sources: ResponseSources, households: list[int] | None) -> None:
    """Tables shown (product in store and week), visits, bought and responses; each row once."""
    for name in ("transactions", "promotions", "products"):
        path = str(getattr(sources, name)).replace("'", "''")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
    connection.execute("CREATE TABLE wanted (household_id INTEGER)")
    if households is not None:
        connection.executemany("INSERT INTO wanted VALUES (?)", [[household] for household in households])
    chosen = "true" if households is None else "household_id IN (SELECT household_id FROM wanted)"
    # Sorted by week, so that reading one week skips the others' blocks.
    connection.execute("""
        CREATE TABLE shown AS
        SELECT product_id::INTEGER AS product_id, store_id::INTEGER AS store_id, week::SMALLINT AS week,
            coalesce(department, '') AS department
        FROM (SELECT DISTINCT product_id, store_id, week FROM promotions)
        LEFT JOIN products USING (product_id)
        ORDER BY week, store_id""")
    connection.execute(f"""
        CREATE TABLE visits AS
        SELECT DISTINCT household_id::INTEGER AS household_id, store_id::INTEGER AS store_id, week::SMALLINT AS week
        FROM transactions WHERE {chosen}""")
    connection.execute(f"""
        CREATE TABLE bought AS
        SELECT household_id::INTEGER AS household_id, store_id::INTEGER AS store_id, week::SMALLINT AS week,
            product_id::INTEGER AS product_id, count(*)::INTEGER AS purchases
        FROM transactions WHERE quantity > 0 AND {chosen}
        GROUP BY ALL""")
    connection.execute("""
        CREATE TABLE responses AS
        SELECT household_id, store_id, week, product_id, department
        FROM bought JOIN shown USING (product_id, store_id, week)""")


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


def _row_query(week: int) -> str:
    """One week's impressions; every entity has a row in its week, because the impression itself counts there."""
    joins = "\n".join(
        f"JOIN (SELECT * FROM {entity} WHERE week = {week}) AS {entity} ON "
        + " AND ".join(f"{entity}.{key} = {'visits' if key == 'household_id' else 'shown'}.{key}" for key in keys)
        for entity, keys in ENTITIES.items())
    counts = ", ".join(f"{entity}.{what}_before AS {entity}_{what}"
                       for entity in ENTITIES for what in ("impressions", "responses"))
    return f"""
        SELECT {week}::SMALLINT AS week, shown.store_id, visits.household_id, shown.product_id,
            (taken.product_id IS NOT NULL)::TINYINT AS label,
            coalesce(known.purchases, 0)::INTEGER AS household_product_purchases, {counts}
        FROM (SELECT * FROM shown WHERE week = {week}) AS shown
        JOIN (SELECT * FROM visits WHERE week = {week}) AS visits USING (store_id)
        {joins}
        LEFT JOIN (SELECT * FROM responses WHERE week = {week}) AS taken
            ON taken.household_id = visits.household_id AND taken.product_id = shown.product_id
            AND taken.store_id = shown.store_id
        LEFT JOIN (SELECT household_id, product_id, sum(purchases) AS purchases FROM bought WHERE week < {week}
                   GROUP BY ALL) AS known
            ON known.household_id = visits.household_id AND known.product_id = shown.product_id"""


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows to a Parquet file; returns their number."""
    target = str(path).replace("'", "''")
    return connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)").fetchone()[0]
