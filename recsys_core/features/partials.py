"""Feature tables of some consecutive drops, computed on a private in-memory DuckDB from these drops and what was known before.

Rows keep the order of the drops, and inside a drop the order of the schema. So a drop's rows are the same whether it is computed
alone or among others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from recsys_core.errors import DataError
from recsys_core.features.context import context_values
from recsys_core.features.ledger import Drop
from recsys_core.features.segments import select_segment_events
from recsys_core.features.totals import TOTALS, Totals
from recsys_core.schema import CLEAN_EVENTS, IMPRESSION, INTERACTIONS, POSITIVE_EVENTS

if TYPE_CHECKING:
    from recsys_core.features.store import FeatureConfig
    from recsys_core.ingestion import SegmentSpec

READ = ("event_id", "user_id", "timestamp", "event_type", "item_id", "session_id", "price", "quantity", "context", "position",
        "propensity", "day")
ORDER = ("user_id", "timestamp", "event_id")


@contextmanager
def private_database(spill: Path, config: FeatureConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, which spills to `spill` and reads no file: the conditions of segments are SQL that a shop writes."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET threads = {config.threads}; SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield connection


class Batch:
    """Some consecutive drops, loaded.

    Args:
        connection: a private database.
        drops: every drop of the shop.
        span: positions of those to load; consecutive.
        outcome: the event type that counts as success of an impression.
        crossing: whether sessions go on from the drop before the first, and from the last one into the drop after it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, drops: Sequence[Drop], span: range, outcome: str,
                 crossing: tuple[bool, bool]) -> None:
        self.connection, self.span = connection, span
        self.events = load_drops(drops, span).with_columns(
            pl.col("event_type").is_in(POSITIVE_EVENTS).alias("_positive"),
            (pl.col("event_type") == outcome).alias("_outcome")).with_row_index("_row")
        check_unique("clean_events", self.events["event_id"])
        self.impressions = int((self.events["event_type"] == IMPRESSION).sum())
        connection.register("event_frame", self.events)
        connection.execute("CREATE OR REPLACE TEMP TABLE events AS SELECT * FROM event_frame")
        connection.unregister("event_frame")
        before, after = (range(at, at + 1) if joined else range(0) for at, joined in zip((span[0] - 1, span[-1] + 1), crossing,
                                                                                          strict=True))
        connection.register("impressions_before", load_drops(drops, before).filter(event_type=IMPRESSION))
        connection.register("outcomes_after", load_drops(drops, after).filter(event_type=outcome))
        for statement in read_sql("labels").split(";"):
            connection.execute(statement)

    def totals(self) -> pl.DataFrame:
        """`TOTALS` and _file."""
        return self._query("totals").select("_file", *(pl.col(name).cast(dtype) for name, dtype in TOTALS.items()))

    def item_features(self) -> pl.DataFrame:
        """`schema.ITEM_FEATURES` and _file."""
        return self._query("item_features")

    def exposures(self, totals: Totals) -> pl.DataFrame:
        """`schema.EXPOSURES` and _file."""
        shown = self.events.filter(event_type=IMPRESSION)
        known = totals.before(self.span[0], shown["user_id"].unique(), shown["item_id"].unique()) if shown.height else \
            pl.DataFrame(schema=TOTALS)
        self.connection.register("known", known)
        table = self._query("exposures")
        self.connection.unregister("known")
        if table.height != self.impressions:
            raise DataError("exposures", f"{table.height} rows instead of {self.impressions}",
                            "look for repeated keys in clean_items and clean_events")
        return table

    def interactions(self, items: pl.DataFrame) -> pl.DataFrame:
        """`schema.INTERACTIONS` and _file: positive events of known items."""
        rows = self.events.lazy().filter(pl.col("_positive") & pl.col("item_id").is_in(items["item_id"].implode()))
        return rows.sort("_file", "user_id", "timestamp", "item_id", "event_id").select("_file", *INTERACTIONS).collect(
            engine="in-memory")

    def segment_events(self, segments: Sequence[SegmentSpec], items: pl.DataFrame, users: pl.DataFrame, context: Sequence[str],
                       config: FeatureConfig, opening: str, totals: Totals) -> pl.DataFrame:
        """`schema.SEGMENT_EVENTS` and _file."""
        new_users = any(segment.kind == "new_users" for segment in segments)
        self.connection.register("shoppers", self._shoppers(totals) if new_users else pl.DataFrame(
            schema={"_row": pl.UInt32, "_first_day": pl.Date, "_rank": pl.Int64}))
        self.connection.register("items", items)
        self.connection.register("users", users)
        self.connection.register("context", _contexts(self.events["context"], context))
        return select_segment_events(self.connection, self.events, segments, opening, config.order_only,
                                     config.new_user_events, has_context=bool(context))

    def _shoppers(self, totals: Totals) -> pl.DataFrame:
        """Per event its shopper's first day, and how many positive events they have by then."""
        users = self.events["user_id"].unique()
        known = totals.before(self.span[0], users, None).group_by("user_id").agg(
            pl.col("positives").sum(), pl.col("first_day").min())
        own = self.events.select("_row", "user_id", pl.col("day").min().over("user_id"),
                                 pl.col("_positive").cast(pl.Int64).cum_sum().over("user_id").alias("rank"))
        return own.join(known, on="user_id", how="left", maintain_order="left").select(
            "_row", pl.min_horizontal("day", "first_day").alias("_first_day"),
            (pl.col("rank") + pl.col("positives").fill_null(0)).alias("_rank"))

    def _query(self, name: str) -> pl.DataFrame:
        try:
            return self.connection.execute(read_sql(name)).pl()
        except duckdb.OutOfMemoryException as error:
            raise DataError(name, f"not enough memory: {str(error).splitlines()[0]}",
                            "raise memory_limit or free disk space beside the tables") from None


def read_sql(name: str) -> str:
    """A query of this package."""
    return files("recsys_core.features").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def load_drops(drops: Sequence[Drop], span: range) -> pl.DataFrame:
    """The columns that features read and `_file`, the position of the drop; by drop, user, moment and event."""
    schema = {"_file": pl.Int32, **{name: CLEAN_EVENTS[name] for name in READ}}
    parts = [pl.DataFrame(schema=schema)]
    for at in span:
        rows = pl.read_parquet(drops[at].path, columns=list(READ), glob=False)
        if not _is_sorted(rows):
            rows = rows.sort(*ORDER)
        parts.append(rows.select(pl.lit(at, pl.Int32).alias("_file"), *READ))
    return pl.concat(parts)


def _is_sorted(rows: pl.DataFrame) -> bool:
    user, moment, event = (pl.col(name) for name in ORDER)
    same_user, same_moment = user == user.shift(), moment == moment.shift()
    after = (user > user.shift()) | same_user & ((moment > moment.shift()) | same_moment & (event >= event.shift()))
    return bool(rows.select(after.fill_null(True).all()).item())


def _contexts(column: pl.Series, names: Sequence[str]) -> pl.DataFrame:
    """One row per context that events carry: `_text`, and a String column per name."""
    texts = column.drop_nulls().unique(maintain_order=True)
    return pl.DataFrame([texts.alias("_text"), *(context_values(texts, name) for name in names)])


def check_unique(artefact: str, keys: pl.Series) -> None:
    """Keys that joins rely on.

    Raises:
        DataError: one is empty or repeated.
    """
    if keys.null_count() or keys.n_unique() < len(keys):
        repeated = keys.filter(keys.is_duplicated())
        culprit = "an empty key" if keys.null_count() else f"{keys.name} {repeated[0]!r} is repeated"
        raise DataError(artefact, culprit, f"make {keys.name} unique: joins on it would multiply rows")
