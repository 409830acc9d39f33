"""A shop that is a folder of files: finds them, reads them day by day, derives what is not delivered."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.boundary import refuses
from recsys_core.ingestion.config import CONTRACT, ShopConfig
from recsys_core.ingestion.contract import match_columns, read_moments, to_closed_table, to_events, to_items, to_users
from recsys_core.ingestion.derive import derive_items, derive_users, derived_columns
from recsys_core.ingestion.finding import find_drops, find_table, joins_of
from recsys_core.ingestion.ids import check_users_meet, refuse_copies, shoppers_of, whole_ids, with_whole_ids
from recsys_core.ingestion.offers import overlapping, to_promotions, to_shelves
from recsys_core.ingestion.shop import DayDrop, FileLedger, Shop
from recsys_core.ingestion.timestamps import local_day
from recsys_core.pseudonyms import UserKeys
from recsys_core.reading import Declared, columns_of, read_column, read_head, read_table, rejects_frame

log = logging.getLogger(__name__)
LEFT_OUT = "left out: it may name a shopper"
WORTH_A_WARNING = 0.01  # a larger share of a file's records set aside
EARLIEST = date(1990, 1, 1)  # an events file's timestamps before this are faults, not days of the shop


class FolderShop(Shop):
    """Files on disk under the contract's names, or under those that `shop.yaml` gives.

    Args:
        config: the shop's configuration.
        base: the folder of shop.yaml.
        keys: under which shoppers are named.

    Raises:
        ShopError: a file is missing or ambiguous.
    """

    def __init__(self, config: ShopConfig, base: Path, keys: UserKeys) -> None:
        self.config, self.base, self.keys = config, base, keys
        self.root = base / config.data if config.data else base
        if not self.root.is_dir():
            raise ShopError(str(self.root), "is not a folder", "correct `data` in shop.yaml")
        self.ledger = {}
        self.declared = Declared(config.delimiter, config.encoding)
        self.of_events = replace(self.declared, joins=joins_of(self.root, config))
        self.joined_files = [join.path for join in self.of_events.joins]
        self.files: dict[str, list[Path]] = {}
        taken: list[Path] = []
        for table in CONTRACT:
            if table != "events":
                self.files[table] = find_table(self.root, table, config, taken)
                taken += self.files[table]
        self.drops = find_drops(self.root, config)
        self.event_files = [] if self.drops else find_table(self.root, "events", config, taken, several=True)
        if not self.drops and not self.event_files:
            raise self._absent("events", "events/YYYY-MM-DD.{csv,jsonl,parquet}")
        if self.drops and config.order_only:
            raise ShopError(str(self.root / config.day_drops), "holds day drops of an order_only shop",
                            "drop order_only if the events have timestamps, else deliver one events file")
        if not self.files["items"] and not config.items_from_events:
            raise self._absent("items", "items_from_events in shop.yaml")

    def _absent(self, table: str, otherwise: str) -> ShopError:
        there = ", ".join(sorted(path.name for path in self.root.iterdir())[:20]) or "nothing"
        return ShopError(str(self.root), f"no {table} file among {there}",
                         f"add {table}.{{parquet,csv,jsonl}} or {otherwise}")

    # --- events ---

    @refuses
    def days(self) -> list[date]:
        if self.config.order_only:
            return [date.fromisoformat(schema.PSEUDO_DAY)]
        days = sorted(self.drops) if self.drops else self._days_of_files
        first, last = self.config.first_day or date.min, self.config.last_day or date.max
        return [day for day in days if first <= day <= last]

    def day_files(self, day: date) -> list[Path]:
        return [*([self.drops[day]] if day in self.drops else self.event_files), *self.joined_files]

    def table_files(self) -> list[Path]:
        return [path for table in ("items", "users", "shelves", "promotions", "labels") for path in self.files[table]]

    def _read_events(self, days: list[date]) -> Iterator[DayDrop]:
        paths = [self.drops[day] for day in days] if self.drops else self.event_files
        self._check_headers(paths)
        return self._read_drops(days) if self.drops else self._split_files(days)

    @refuses
    def _check_headers(self, paths: list[Path]) -> None:
        """Required columns are there, and every drop with a header has the columns of the first one."""
        reference: tuple[str, set[str]] | None = None
        for path in [self.drops[self.days()[0]], *paths] if self.drops and paths else paths:
            if path.stat().st_size == 0:
                raise self._no_events(path)
            found = columns_of(path, self.of_events)
            if found is None:
                continue
            match_columns(found, "events", self.config, str(path))
            reference = reference or (path.name, set(found))
            changed = sorted(reference[1] ^ set(found))
            if changed:
                state = "is missing" if changed[0] in reference[1] else "is new"
                raise ShopError(str(path), f"column {changed[0]!r} {state} compared with {reference[0]}; "
                                f"columns found: {', '.join(found)}",
                                "give every events file the same columns, then deliver it again")

    def _read_drops(self, days: list[date]) -> Iterator[DayDrop]:
        for day in days:
            path = self.drops[day]
            events, rejects = self._read_events_file(path)
            if events.is_empty() and rejects.is_empty():
                raise self._no_events(path)
            yield DayDrop(day, events, rejects)

    @refuses
    def _read_events_file(self, path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
        frame, rejects = self._read(path, self.of_events)
        if frame.is_empty():
            return pl.DataFrame(schema=schema.RAW_EVENTS), rejects
        matched = match_columns(frame.columns, "events", self.config, str(path))
        return to_events(self._fitted(frame, matched), self.config, path.name, str(path), self.keys), rejects

    def _no_events(self, path: Path) -> ShopError:
        return ShopError(str(path), "holds no events", "deliver the file again, or remove it if the "
                         "shop was closed that day")

    @cached_property
    def _events_of_files(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Every row of the events file(s) with its day (null: not a plausible one), and the rejects."""
        self._check_headers(self.event_files)
        parts = [self._read_events_file(path) for path in self.event_files]
        events = pl.concat([events for events, _ in parts])
        if events.is_empty():
            raise self._no_events(self.event_files[0])
        return events.with_columns(day=self._plausible_day()), pl.concat([rejects for _, rejects in parts])

    @cached_property
    def _days_of_files(self) -> list[date]:
        """The days of the timestamp column alone, where the format lets one column be read."""
        found: set[date | None] = set()
        self._check_headers(self.event_files)
        for path in self.event_files:
            names = columns_of(path, self.of_events)
            theirs = match_columns(names, "events", self.config, str(path))["timestamp"] if names else None
            values = read_column(path, theirs, self.of_events) if theirs else None
            moments = None if values is None else read_moments(values, self.config, str(path))
            if values is None or moments is None or moments.null_count() > values.null_count():
                found |= set(self._events_of_files[0]["day"].unique())  # a broken row may hold anything in that column
                break
            found |= set(pl.DataFrame({"timestamp": moments}).select(self._plausible_day().unique()).to_series())
        days = sorted(day for day in found if day is not None)
        if not days:
            raise ShopError(str(self.event_files[0]), "not one timestamp is plausible",
                            "deliver timestamps as ISO 8601 or epoch seconds, or set timestamp_format")
        return days

    def _plausible_day(self) -> pl.Expr:
        day = local_day(pl.col("timestamp"), self.config.time_zone)
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        return pl.when(day.is_between(EARLIEST, tomorrow)).then(day)

    def _split_files(self, days: list[date]) -> Iterator[DayDrop]:
        """One drop per day; rows without a plausible day and rejects come with the shop's first day."""
        events, rejects = self._events_of_files
        first = self.first_day
        for day in days:
            mine = pl.col("day") == day
            if day == first:
                mine = mine | pl.col("day").is_null()
            drop = DayDrop(day, events.filter(mine).drop("day"),
                           rejects if day == first else rejects_frame([]))
            if drop.events.height or drop.rejects.height:
                yield drop

    # --- the other tables ---

    @refuses
    def items(self) -> pl.DataFrame:
        if not self.files["items"]:
            return derive_items(self._raw_event_rows(), self.config)
        return to_items(self._read_whole("items"), self.config, str(self.files["items"][0]))

    @refuses
    def users(self) -> pl.DataFrame | None:
        if self.files["users"]:
            users = to_users(self._read_whole("users"), self.config, str(self.files["users"][0]))
            first = self.drops[min(self.drops)] if self.drops else self.event_files[0]
            shoppers = shoppers_of(first, self.config, self.of_events, self._fitted)
            quiet = self.keys.present is not None
            check_users_meet(shoppers, users["user_id"], first.name, str(self.files["users"][0]), quiet)
            if quiet:
                refuse_copies(users, str(self.files["users"][0]))
        elif self.config.users_from_events:
            users = derive_users(self._raw_event_rows(), self.config)
        else:
            return None
        return users.with_columns(self.keys.rename(users["user_id"]))

    @cached_property
    def _whole_ids(self) -> frozenset[str]:
        return whole_ids(self.files, self.config, self.declared)

    def _fitted(self, frame: pl.DataFrame, matched: dict[str, str]) -> pl.DataFrame:
        """Event rows with their ids written as in the tables that they point to, where that is certain."""
        return with_whole_ids(frame, matched, lambda: self._whole_ids)

    @refuses
    def judgments(self) -> pl.DataFrame | None:
        return self._closed("judgments")

    @refuses
    def labels(self) -> pl.DataFrame | None:
        return self._closed("labels")

    @refuses
    def shelves(self) -> pl.DataFrame | None:
        if not self.files["shelves"]:
            return None
        return to_shelves(self._read_whole("shelves"), self.config, str(self.files["shelves"][0]))

    @refuses
    def promotions(self, first: date, last: date) -> pl.DataFrame | None:
        if not self.files["promotions"]:
            return None
        rows = to_promotions(self._read_whole("promotions"), self.config, str(self.files["promotions"][0]))
        return overlapping(rows, first, last)

    def _closed(self, table: str) -> pl.DataFrame | None:
        if not self.files[table]:
            return None
        return to_closed_table(self._read_whole(table), table, self.config, str(self.files[table][0]))

    def _read_whole(self, table: str) -> pl.DataFrame:
        path = self.files[table][0]
        frame, rejects = self._read(path)
        if rejects.height > frame.height or frame.is_empty():
            example = f", {_first(rejects)}" if rejects.height else ""
            raise ShopError(str(path), f"{frame.height} readable and {rejects.height} broken rows{example}",
                            "deliver the file again (text as UTF-8, or name its `encoding` in shop.yaml)")
        self.check_ledger()
        return frame

    def _read(self, path: Path, declared: Declared | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
        """A file's rows and rejects; many rejects are told on the console."""
        found = read_table(path, path.name, declared or self.declared)
        if self.keys.present is not None:  # a broken line may hold an id anywhere
            found = replace(found, rejects=found.rejects.with_columns(text=pl.lit(LEFT_OUT)))
        ledger = FileLedger(found.delivered, found.rows.height, found.rejects.height, _first(found.rejects))
        if ledger.set_aside and path.name not in self.ledger:
            log.log(logging.WARNING if ledger.share > WORTH_A_WARNING else logging.INFO, "%s: %d of %d records set aside "
                    "(%.1f%%), e.g. %s", path, ledger.set_aside, ledger.delivered, 100 * ledger.share, ledger.example)
        self.ledger[path.name] = ledger
        return found.rows, found.rejects

    def _raw_event_rows(self) -> Iterator[tuple[pl.DataFrame, dict[str, str], str]]:
        """Every events file of the shop's days as delivered, with its column mapping and name."""
        paths = [self.drops[day] for day in self.days()] if self.drops else self.event_files
        self._check_headers(paths)
        for path in paths:
            frame, _ = self._read(path, self.of_events)
            yield frame, match_columns(frame.columns, "events", self.config, str(path)), str(path)

    @refuses
    def table_columns(self) -> dict[str, schema.Columns]:
        columns = derived_columns(self.config)
        for table, convert in (("items", to_items), ("users", to_users)):
            if self.files[table]:
                path = self.files[table][0]
                columns[table] = dict(convert(read_head(path, self.declared), self.config, str(path)).schema)
        columns["items"]["text"] = pl.String()  # what cleaning adds
        return columns


def _first(rejects: pl.DataFrame) -> str:
    """The first reject in words, "" if there is none."""
    if rejects.is_empty():
        return ""
    line, reason, text = rejects.select("line", "reason", "text").row(0)
    return f"line {line}: {reason}: {text[:60]!r}"
