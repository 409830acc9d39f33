"""The feature store: four point-in-time tables, kept as one partial per day file and brought up to date by what changed.

    <folder>/<table>/<day>.parquet    what readers see, see `read_features`
    <folder>/.partials/<table>/…      the same files under names that hash their inputs, and the totals of each drop
    <folder>/features.duckdb          views of the tables, for people and SQL

A partial depends on its own clean file, on the code, on what was known before (exposures, new shoppers) and on the rows of
items and users that conditions read. A night computes the partials whose names are not there, and then publishes: hard links,
one rename per changed file. A killed night leaves the published tables as they were, or some of them newer; the next one
finds its partials and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import BaseModel, Field

from recsys_core.errors import DataError
from recsys_core.fan_out import IN_PROCESS, FanOut
from recsys_core.features.ledger import digest, read_ledger, survey, total_types
from recsys_core.features.night import PARTIALS, Night
from recsys_core.schema import FEATURE_TABLES, POSITIVE_EVENTS

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
        "1200MB", description="DuckDB's memory; beyond it, it spills beside the tables")
    threads: int = Field(2, gt=0, description="DuckDB's threads")
    batch_events: int = Field(1_000_000, gt=0, description="events computed at once, unless one drop has more")


@dataclass(frozen=True)
class Inputs:
    """What a night's features are made of.

    Args:
        items: `schema.CLEAN_ITEMS` plus the shop's columns, unique item_id.
        users: unique user_id and the shop's columns, or None.
        segments: the shop's segments.
        context: the declared names that a segment's condition may speak of as context.<name>.
    """

    items: pl.DataFrame
    users: pl.DataFrame | None
    segments: Sequence[SegmentSpec]
    context: Sequence[str] = ()


@dataclass(frozen=True)
class Made:
    """A published table.

    Args:
        rows: of all days.
        hash: tells its content apart.
        days: how many files it has.
        computed: how many of them this night computed.
    """

    rows: int
    hash: str
    days: int
    computed: int


def read_features(folder: Path, table: str) -> pl.LazyFrame:
    """A published feature table: day after day, and inside a day in the order of `schema.FEATURE_TABLES`.

    Raises:
        DataError: it was never made.
    """
    days = sorted((folder / table).glob("*.parquet"))
    if not days:
        raise DataError(str(folder / table), "the table is missing", f"materialize {table} first")
    return pl.scan_parquet(days, glob=False)


def build_features(folder: Path, clean_events: Mapping[str, Path], inputs: Inputs, config: FeatureConfig,
                   asked: Collection[str] = tuple(FEATURE_TABLES), fan_out: FanOut = IN_PROCESS) -> dict[str, Made]:
    """Bring the tables of `schema.FEATURE_TABLES` up to date with the clean events: what changed is computed, the rest stays.

    Args:
        folder: where the tables are; made if missing.
        clean_events: day → Parquet of `schema.CLEAN_EVENTS` with unique event_id, later days in later files.
        inputs: items, users and segments.
        config: outcome of an impression, memory and threads.
        asked: the tables to bring up to date; the others stay as they are.
        fan_out: where partials are computed, about `batch_events` at a time.

    Returns:
        Table → what it holds now.

    Raises:
        DataError: no events, none that a model can learn from, repeated keys, or a join that changed the number of rows. What is
            published stays as it was.
        ShopError: a segment's predicate fails.
    """
    noted = read_ledger(folder / PARTIALS)
    drops = survey(clean_events, noted)
    if not any(drop.rows for drop in drops):
        raise DataError("clean_events", "no data: the table is empty", "load days that have events")
    night = Night(folder, drops, inputs, config, noted)
    tables = [name for name in FEATURE_TABLES if name in asked]
    computed = night.compute(tables, fan_out)
    made = {}
    for name in tables:
        facts = night.facts(name)
        made[name] = Made(sum(rows for rows, _ in facts), digest([(drop.day, content) for drop, (_, content) in
                                                                  zip(drops, facts, strict=True)]), len(facts), computed[name])
    if "interactions" in made and not made["interactions"].rows:
        found = ", ".join(f"{n:,} {name}" for name, n in sorted(total_types(drops).items(), key=lambda one: (-one[1], one[0])))
        raise DataError("clean_events", f"no {', '.join(POSITIVE_EVENTS[:-1])} or {POSITIVE_EVENTS[-1]} of a known item is "
                        f"there, only {found}", "deliver events that say what shoppers wanted; event_types maps other names")
    night.publish(tables)
    for name, table in made.items():
        log.info("%s: %d rows, %d of %d days computed", name, table.rows, table.computed, table.days)
    return made
