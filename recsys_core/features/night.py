"""One night: which partials its inputs ask for, those that are missing computed, then all of them published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_core.artefacts import file_hash, staged_file
from recsys_core.fan_out import FanOut
from recsys_core.features.attributes import Attributes
from recsys_core.features.ledger import (
    READ_AT_ONCE,
    Drop,
    code_digest,
    crosses,
    digest,
    note_crossings,
    note_drop,
    read_drops,
    total_types,
    write_ledger,
)
from recsys_core.features.making import Making
from recsys_core.features.partials import check_unique
from recsys_core.features.totals import Totals
from recsys_core.features.views import write_views
from recsys_core.schema import CLICK, FEATURE_TABLES, IMPRESSION, PURCHASE

if TYPE_CHECKING:
    from recsys_core.features.store import FeatureConfig, Inputs

PARTIALS, TOTALS = ".partials", "totals"
MOST_DROPS = 32  # computed at once: counts are tables over items and days


class Night:
    """The partials that a night's inputs ask for, by name.

    Args:
        folder: of the feature tables.
        drops: every clean day file, in order.
        inputs: items, users and segments.
        config: how features are computed.
        noted: the ledger's days.
    """

    def __init__(self, folder: Path, drops: list[Drop], inputs: Inputs, config: FeatureConfig, noted: Mapping[str, Any]) -> None:
        users = pl.DataFrame(schema={"user_id": pl.String}) if inputs.users is None else inputs.users
        check_unique("clean_items", inputs.items["item_id"])
        check_unique("raw_users", users["user_id"])
        self.folder, self.drops, self.inputs, self.config, self.noted = folder, drops, inputs, config, noted
        bought = PURCHASE in total_types(drops)
        self.outcome = config.outcome if config.outcome != "auto" else PURCHASE if bought else CLICK
        note_crossings(drops, self.outcome)
        self.joined = [crosses(drop, after, self.outcome) for drop, after in pairwise(drops)]
        self.opening = min(drop.first_day for drop in drops if drop.first_day)
        keys = [self._key(drop, self.outcome, self._neighbour(at - 1, at)) for at, drop in enumerate(drops)]
        self.totals = Totals(folder / PARTIALS / TOTALS, [drop.day for drop in drops], keys)
        self.making = Making(drops, self.joined, self.outcome, self.opening, inputs, users, config, self.totals, folder)
        self.attributes = Attributes.of(inputs.items, users, inputs.segments)
        self.here = {name: {path.name for path in (folder / PARTIALS / name).glob("*.parquet")}
                     for name in (*FEATURE_TABLES, TOTALS)}
        self.own = self._known_attributes()
        self.names: dict[tuple[str, int], str] = {}
        self.specs = digest([segment.model_dump(mode="json") for segment in inputs.segments])
        self.written: dict[tuple[str, str], tuple[int, str]] = {}

    # --- names ---

    def name(self, table: str, at: int) -> str:
        """The file name of a table's partial for the drop at a position; its totals must be there for all but these."""
        if table == TOTALS:
            return self.totals.name(0, at)
        if (table, at) not in self.names:
            drop = self.drops[at]
            self.names[table, at] = f"{drop.day}-{getattr(self, f'_{table}_key')(drop, at)}.parquet"
        return self.names[table, at]

    def _key(self, drop: Drop, *parts: object) -> str:
        return digest(code_digest(), drop.day, drop.clean, *parts)

    def _neighbour(self, at: int, of: int) -> str:
        """The hash of a neighbouring drop if sessions go on from one to the other."""
        if not (min(at, of) >= 0 and max(at, of) < len(self.drops)) or not self.joined[min(at, of)]:
            return ""
        return self.drops[at].clean

    def _item_features_key(self, drop: Drop, at: int) -> str:
        return self._key(drop)

    def _interactions_key(self, drop: Drop, at: int) -> str:
        return self._key(drop, self.own[at][1])

    def _exposures_key(self, drop: Drop, at: int) -> str:
        if not drop.types.get(IMPRESSION):
            return self._key(drop)
        return self._key(drop, self.outcome, self._neighbour(at + 1, at), self.totals.chain[at])

    def _segment_events_key(self, drop: Drop, at: int) -> str:
        known = [self.opening, self.totals.chain[at], self.config.order_only, self.config.new_user_events] \
            if any(segment.kind == "new_users" for segment in self.inputs.segments) else []
        return self._key(drop, self.specs, list(self.inputs.context), self.own[at][0], known)

    def _known_attributes(self) -> dict[int, tuple[str, str]]:
        """What the ledger knows of drops' items and shoppers, and what can be read from the totals that are there."""
        own, unknown = {}, []
        for at, drop in enumerate(self.drops):
            known = self.noted.get(drop.day, {})
            if known and known["drop"]["clean"] == drop.clean and known["attributes"][0] == self.attributes.whole:
                own[at] = known["attributes"][1], known["attributes"][2]
            elif self.totals.name(0, at) in self.here[TOTALS]:
                unknown.append(at)
        for first in range(0, len(unknown), READ_AT_ONCE):
            some = unknown[first:first + READ_AT_ONCE]
            totals = read_drops([self._partial(TOTALS, at) for at in some], ("user_id", "item_id"))
            found = self.attributes.of_drops(totals)
            own |= {at: found.get(n, self.attributes.nothing) for n, at in enumerate(some)}
        return own

    def _partial(self, table: str, at: int) -> Path:
        return self.folder / PARTIALS / table / self.name(table, at)

    # --- computing ---

    def compute(self, tables: Sequence[str], fan_out: FanOut) -> dict[str, int]:
        """Write the partials that are not there; table → how many.

        Args:
            tables: those that are asked for.
            fan_out: where; two tasks per span: its totals, then its tables.
        """
        computed, spans = dict.fromkeys((*tables, TOTALS), 0), list(self._spans(tables))

        def asked() -> Iterator[tuple[range, list[str]]]:
            """Each span as soon as its totals and those before it are there: they name its partials, and the rest reads them."""
            for span, totals in zip(spans, fan_out.map(self.making.count_totals, spans), strict=True):
                computed[TOTALS] += self._write(TOTALS, span, totals)
                found = self.attributes.of_drops(totals)
                self.own |= {at: found.get(at, self.attributes.nothing) for at in span}
                self.totals.merge(span[0])
                yield span, [table for table in tables if self._wanted(table, span)]

        for span, made in zip(spans, fan_out.map(self.making.make_tables, asked()), strict=True):
            while made:
                table, rows = made.popitem()
                computed[table] += self._write(table, span, rows.select("_file", *FEATURE_TABLES[table]))
        self.totals.merge(len(self.drops))
        return computed

    def _spans(self, tables: Sequence[str]) -> Iterator[range]:
        """Consecutive drops with something missing, about `batch_events` at a time."""
        first, rows = None, 0
        for at, drop in enumerate(self.drops):
            stale = bool(self._missing(at, tables))
            full = first is not None and (rows + drop.rows > self.config.batch_events or at - first == MOST_DROPS)
            if first is not None and (full or not stale):
                yield range(first, at)
                first, rows = None, 0
            if stale:
                first, rows = at if first is None else first, rows + drop.rows
        if first is not None:
            yield range(first, len(self.drops))

    def _missing(self, at: int, tables: Sequence[str]) -> list[str]:
        if self.totals.name(0, at) not in self.here[TOTALS]:
            return [TOTALS, *tables]  # the others are named by what the totals hold
        return [table for table in tables if self.name(table, at) not in self.here[table]]

    def _wanted(self, table: str, span: range) -> list[int]:
        """The drops of a span whose partial is not there."""
        return [at for at in span if self.name(table, at) not in self.here[table]]

    def _write(self, table: str, span: range, rows: pl.DataFrame) -> int:
        """Write those partials of a table that are not there."""
        wanted = self._wanted(table, span)
        parts = rows.partition_by("_file", as_dict=True, include_key=False) if len(span) > 1 else {(span[0],): rows.drop("_file")}
        empty = rows.clear().drop("_file")
        with ThreadPoolExecutor(self.config.threads) as pool:
            for at, fact in zip(wanted, pool.map(lambda at: _store(parts.get((at,), empty), self._partial(table, at)), wanted),
                                strict=True):
                self.written[table, self.name(table, at)] = fact
                self.here[table].add(self.name(table, at))
        return len(wanted)

    # --- publishing ---

    def facts(self, table: str) -> list[tuple[int, str]]:
        """Rows and hash of a table's partials, drop by drop."""
        return [self._fact(table, at) for at in range(len(self.drops))]

    def _fact(self, table: str, at: int) -> tuple[int, str]:
        """Rows and hash of a partial."""
        name = self.name(table, at)
        if (table, name) not in self.written:
            known = self.noted.get(self.drops[at].day, {}).get("tables", {}).get(table)
            if known is not None and known[0] == name:
                self.written[table, name] = known[1], known[2]
            else:
                path = self._partial(table, at)
                self.written[table, name] = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item(), file_hash(path)
        return self.written[table, name]

    def publish(self, tables: Sequence[str]) -> None:
        """Put the partials in the places that readers see, note what was done, and clear away what nothing asks for."""
        before = {drop.day: self.noted.get(drop.day, {}).get("tables", {}) for drop in self.drops}
        days: dict[str, dict[str, Any]] = {
            drop.day: {"drop": note_drop(drop), "attributes": [self.attributes.whole, *self.own[at]],
                       "tables": dict(before[drop.day])} for at, drop in enumerate(self.drops)}
        for table in tables:
            place = self.folder / table
            place.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in place.iterdir()}
            for at, drop in enumerate(self.drops):
                name, published = self.name(table, at), f"{drop.day}.parquet"
                if before[drop.day].get(table, [""])[0] != name or published not in there:
                    _link(self._partial(table, at), place / published)
                days[drop.day]["tables"][table] = [name, *self._fact(table, at)]
            for stray in there - {f"{day}.parquet" for day in days}:
                (place / stray).unlink()
        write_ledger(self.folder / PARTIALS, days)
        write_views(self.folder, [table for table in FEATURE_TABLES if (self.folder / table).is_dir()])
        kept = {table: {day["tables"].get(table, [""])[0] for day in days.values()} for table in FEATURE_TABLES}
        self._clear(kept | {TOTALS: self.totals.names()})

    def _clear(self, kept: Mapping[str, set[str]]) -> None:
        """Delete partials, runs and what killed nights left, except for these names by table."""
        for table, names in kept.items():
            for path in (self.folder / PARTIALS / table).glob("*"):
                if path.name not in names:
                    path.unlink()


def _store(rows: pl.DataFrame, path: Path) -> tuple[int, str]:
    """Write a partial; its rows and hash."""
    with staged_file(path) as staging:
        rows.write_parquet(staging, compression="zstd")
        return rows.height, file_hash(staging)


def _link(source: Path, target: Path) -> None:
    """Publish a partial under another name: one file on disk where hard links exist, else a copy."""
    with staged_file(target) as staging:
        try:
            os.link(source, staging)
        except OSError:
            shutil.copyfile(source, staging)
