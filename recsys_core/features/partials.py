"""Feature tables of some consecutive drops, computed from these drops and from what was known before.

Rows keep the order of the drops, and inside a drop the order of the schema. So a drop's rows are the same whether it is computed
alone or among others. Only the conditions of segments are SQL, which the shop writes: they run in a private in-memory DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import polars as pl

from recsys_core.errors import DataError
from recsys_core.features.context import context_values
from recsys_core.features.counting import Numbered, count_items, count_known, count_totals
from recsys_core.features.ledger import Drop, read_drops
from recsys_core.features.segments import select_segment_events
from recsys_core.features.totals import TOTALS, Totals
from recsys_core.schema import (
    CLEAN_EVENTS,
    EXPOSURES,
    INTERACTIONS,
    ITEM_FEATURES,
    SEGMENT_EVENTS,
    Columns,
)

if TYPE_CHECKING:
    from recsys_core.features.store import FeatureConfig
    from recsys_core.ingestion import SegmentSpec

READ = ("event_id", "user_id", "timestamp", "event_type", "item_id", "session_id", "price", "quantity", "context", "position",
        "propensity", "day")
ORDER = ("_file", "user_id", "timestamp", "event_id")


@contextmanager
def private_database(folder: Path | None, config: FeatureConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, which reads no file: the conditions of segments are SQL that a shop writes.

    It spills into `folder` (None: the temporary one).
    """
    with duckdb.connect(":memory:") as connection, TemporaryDirectory(prefix=".staging-", dir=folder) as spill:
        connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET threads = {config.threads}; SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ?", [spill])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield connection


class Batch:
    """Some consecutive drops, loaded.

    Args:
        drops: every drop of the shop.
        span: positions of those to load; consecutive.
        outcome: the event type that counts as success of an impression.
        crossing: whether sessions go on from the drop before the first, and from the last one into the drop after it.
    """

    def __init__(self, drops: Sequence[Drop], span: range, outcome: str, crossing: tuple[bool, bool]) -> None:
        self.span = span
        rows = load_drops(drops, span)
        before, after = (load_drops(drops, range(at, at + joined)) for at, joined in zip((span[0] - 1, span[-1] + 1), crossing,
                                                                                        strict=True))
        check_unique("clean_events", rows["event_id"])
        self.rows, self.events = rows, Numbered(rows, before, after, outcome)

    def totals(self) -> pl.DataFrame:
        """`TOTALS` and _file."""
        return _as_contract(count_totals(self.events), TOTALS)

    def item_features(self) -> pl.DataFrame:
        """`schema.ITEM_FEATURES` and _file."""
        return _as_contract(count_items(self.events), ITEM_FEATURES)

    def exposures(self, totals: Totals) -> pl.DataFrame:
        """`schema.EXPOSURES` and _file."""
        shown = self.rows.filter(pl.Series(self.events.shown))
        if shown.is_empty():
            return pl.DataFrame(schema={"_file": pl.Int32, **EXPOSURES})
        counts = count_known(self.events, totals.before(self.span[0], shown["user_id"].unique(), shown["item_id"].unique()))
        return _as_contract(shown.with_columns(label=pl.Series(self.events.label), **{
            name: pl.Series(values) for name, values in counts.items()}), EXPOSURES)

    def interactions(self, items: pl.DataFrame) -> pl.DataFrame:
        """`schema.INTERACTIONS` and _file: positive events of known items."""
        known = items["item_id"].cast(self.events.items, strict=False).drop_nulls().to_physical().to_numpy()
        listed = np.zeros(len(self.events.items.categories) + 1, bool)
        listed[known] = True  # the last one stands for no item
        rows = np.flatnonzero(self.events.positive & listed[self.events.item])
        moment = self.rows["timestamp"].to_physical().to_numpy()
        another = [np.diff(key, prepend=-1) != 0 for key in (self.events.file, self.events.user, moment)]
        step = np.cumsum(np.any(another, axis=0))[rows]  # rows are sorted by step and event_id; here the item comes between
        return _as_contract(self.rows[rows[np.argsort(step * len(listed) + self.events.item[rows], kind="stable")]], INTERACTIONS)

    def segment_events(self, database: Callable[[], duckdb.DuckDBPyConnection], segments: Sequence[SegmentSpec],
                       items: pl.DataFrame, users: pl.DataFrame, context: Sequence[str], config: FeatureConfig, opening: str,
                       totals: Totals) -> pl.DataFrame:
        """`schema.SEGMENT_EVENTS` and _file; where nothing can belong to a segment, `database` is not opened."""
        wanted = self.rows.with_row_index("_row").filter(pl.Series(self.events.positive))
        if not segments or wanted.is_empty():
            return pl.DataFrame(schema={"_file": pl.Int32, **SEGMENT_EVENTS})
        if any(segment.kind == "new_users" for segment in segments):
            wanted = wanted.hstack(self._shoppers(totals, config.order_only))
        connection = database()
        connection.register("events", wanted)
        connection.register("items", items)
        connection.register("users", users)
        connection.register("context", _contexts(wanted["context"], context))
        return select_segment_events(connection, wanted, segments, opening, config.order_only, config.new_user_events,
                                     has_context=bool(context))

    def _shoppers(self, totals: Totals, order_only: bool) -> pl.DataFrame:
        """Per positive event its shopper's first day, or in a shop without times how many positive events they have by then."""
        known = totals.before(self.span[0], self.rows["user_id"].unique(), None).group_by("user_id").agg(
            pl.col("positives").sum(), pl.col("first_day").min())
        place, events = known["user_id"].cast(self.events.users).to_physical().to_numpy(), self.events
        if order_only:
            before = np.zeros(len(events.users.categories), np.int64)
            before[place] = known["positives"].to_numpy()
            user = pl.DataFrame({"user": events.user[events.positive]})
            own = user.select(pl.int_range(1, pl.len() + 1).over("user")).to_series().to_numpy()
            return pl.DataFrame({"_rank": before[events.user[events.positive]] + own})
        days = pl.concat([known["first_day"], events.days]).to_physical().to_numpy()
        first = np.full(len(events.users.categories), np.iinfo(np.int32).max, np.int32)
        first[place] = days[:len(place)]
        np.minimum.at(first, events.user, days[len(place):][events.day])
        return pl.DataFrame({"_first_day": pl.Series(first[events.user[events.positive]]).cast(pl.Date)})


def _as_contract(table: pl.DataFrame, contract: Columns) -> pl.DataFrame:
    return table.select("_file", *(pl.col(name).cast(dtype) for name, dtype in contract.items()))


def load_drops(drops: Sequence[Drop], span: range) -> pl.DataFrame:
    """The columns that features read and `_file`, the position of the drop; by drop, user, moment and event."""
    if not span:
        return pl.DataFrame(schema={"_file": pl.Int32, **{name: CLEAN_EVENTS[name] for name in READ}})
    rows = read_drops([drops[at].path for at in span], READ).with_columns(pl.col("_file") + span[0])
    return rows if _is_sorted(rows) else rows.sort(*ORDER)


def _is_sorted(rows: pl.DataFrame) -> bool:
    new_file = rows["_file"].diff().fill_null(1) > 0
    (user, earlier_user), (moment, earlier), (event, before) = ((rows[name], rows[name].shift()) for name in ORDER[1:])
    tied = (user == earlier_user) & (moment == earlier)
    rising = (user > earlier_user) | ((user == earlier_user) & (moment > earlier)) | new_file
    return bool((rising | tied).fill_null(True).all()) and bool(
        (rising | (event >= before)).fill_null(True).all())


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
