"""A shop whose days also hold what the service collected on them.

A day's file grows until midnight, so only days before the shop's local today are read: what is ingested is finished. Should
such a file change all the same, it makes its day stale, like a drop that is delivered again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from recsys_core import schema
from recsys_core.collection.erased import without_erased
from recsys_core.collection.log import EVENTS, EXPOSURES, SOURCE, UNWANTED
from recsys_core.ingestion import DayDrop, FileLedger, Shop
from recsys_core.personal import mask_text
from recsys_core.pseudonyms import UserKeys
from recsys_core.reading import rejects_frame

log = logging.getLogger(__name__)
LONGEST_GAP = 31  # days without data between the shop's days and those that only the service has
SHOWN = 200  # characters of a line that could not be read


class CollectedShop(Shop):
    """A shop and the day files of `EventLog`, as one shop.

    Events of items that the shop does not know are left out and told: they would be a fault of a shop's own drop, but a
    service may be asked about anything. Lists that were shown become impressions, with their positions and propensities.

    Args:
        shop: what is delivered.
        folder: of the `EventLog`; it need not exist.
        today: the shop's local day on which is asked; None: now.
        erased: digests of shoppers who asked to be erased (see `read_erased`); none of their rows is read.
    """

    def __init__(self, shop: Shop, folder: Path, today: date | None = None, erased: Collection[str] = ()) -> None:
        self.shop, self.folder, self.config, self.ledger, self.erased = shop, folder, shop.config, shop.ledger, erased
        self.keys = shop.keys
        self.today = today or datetime.now(ZoneInfo(shop.config.time_zone)).date()

    @cached_property
    def collected(self) -> dict[date, list[Path]]:
        """Day → its files, of the finished days that the shop's settings cover."""
        if self.config.order_only or not self.folder.is_dir():
            return {}
        first, last = self.config.first_day or self.shop.days()[0], self.config.last_day or date.max
        found: dict[date, list[Path]] = {}
        for path in sorted(path for kind in (EVENTS, EXPOSURES) for path in (self.folder / kind).glob("????-??-??.jsonl")):
            day = _day_of(path)
            if day is not None and first <= day <= last and day < self.today and path.stat().st_size:
                found.setdefault(day, []).append(path)
        return self._without_gap(found)

    def _without_gap(self, found: dict[date, list[Path]]) -> dict[date, list[Path]]:
        """The days up to the first long silence: a service over old data is tried out, and its clicks would be the newest
        days of the shop, on which everything is judged."""
        newest = self.shop.days()[-1]
        for day in sorted(day for day in found if day > newest):
            if (day - newest).days > LONGEST_GAP:
                left_out = [later for later in found if later >= day]
                log.warning("%d collected days are left out: %s is %d days after %s, the last day with data",
                            len(left_out), day, (day - newest).days, newest)
                return {day: paths for day, paths in found.items() if day not in left_out}
            newest = day
        return found

    def days(self) -> list[date]:
        return sorted({*self.shop.days(), *self.collected})

    def day_files(self, day: date) -> list[Path]:
        return [*self.shop.day_files(day), *self.collected.get(day, ())]

    def table_files(self) -> list[Path]:
        return self.shop.table_files()

    def _read_events(self, days: list[date]) -> Iterator[DayDrop]:
        theirs = set(self.shop.days())
        return self._together(days, self.shop._read_events([day for day in days if day in theirs]))

    def _together(self, days: list[date], delivered: Iterator[DayDrop]) -> Iterator[DayDrop]:
        drop = next(delivered, None)
        for day in days:
            parts = []
            if drop is not None and drop.day == day:
                parts.append(drop)
                drop = next(delivered, None)
            if day in self.collected:
                parts.append(self._collected_drop(day))
            if parts:
                events = without_erased(pl.concat([part.events for part in parts]), self.erased)
                yield DayDrop(day, events, pl.concat([part.rejects for part in parts]))

    def _collected_drop(self, day: date) -> DayDrop:
        rows: dict[str, dict[str, Any]] = {}
        rejects = []
        for path in self.collected[day]:
            read, broken = _read_lines(path, hidden=self.keys.present is not None)
            self.ledger[f"{SOURCE}/{path.parent.name}/{path.name}"] = FileLedger(
                len(read) + len(broken), len(read), len(broken), f"line {broken[0][1]}: {broken[0][3][:60]!r}" if broken else "")
            rejects += broken
            found = read if path.parent.name == EVENTS else [one for row in read for one in impressions(row)]
            for one in (row for row in found if row.get("event_type") != UNWANTED):
                rows.setdefault(one["event_id"], one)  # whoever sends an event again means the same event
        known = [row for row in rows.values() if row.get("item_id") is None or row["item_id"] in self._known_items]
        if len(known) < len(rows):
            log.warning("%s: %d of %d collected events name items that the shop does not know and are left out",
                        day, len(rows) - len(known), len(rows))
        columns = {name: [self._value(row, name) for row in known] for name in schema.RAW_EVENTS}
        columns["timestamp"] = [datetime.fromisoformat(row["timestamp"]).astimezone(UTC) for row in known]
        events = pl.DataFrame(columns, schema=schema.RAW_EVENTS, strict=False)
        return DayDrop(day, self.keys.name_events(events), rejects_frame(rejects))

    @cached_property
    def _known_items(self) -> frozenset[str]:
        return frozenset(self.shop.items()["item_id"].drop_nulls().str.strip_chars().to_list())

    def _value(self, row: dict[str, Any], name: str) -> Any:
        if name != "context" or row.get(name) is None:
            return row.get(name)
        given = row[name] if isinstance(row[name], dict) else json.loads(row[name])
        given = {key: value for key, value in sorted(given.items()) if key in self.config.context and value is not None}
        known = {key: text for key, value in given.items() if (text := schema.as_text(value))}
        return json.dumps(known, ensure_ascii=False) if known else None

    # --- what the service does not collect ---

    def items(self) -> pl.DataFrame:
        return self.shop.items()

    def users(self) -> pl.DataFrame | None:
        users = self.shop.users()
        return None if users is None else without_erased(users, self.erased)

    def judgments(self) -> pl.DataFrame | None:
        return self.shop.judgments()

    def labels(self) -> pl.DataFrame | None:
        return self.shop.labels()

    def shelves(self) -> pl.DataFrame | None:
        return self.shop.shelves()

    def promotions(self, first: date, last: date) -> pl.DataFrame | None:
        return self.shop.promotions(first, last)

    def table_columns(self) -> dict[str, schema.Columns]:
        return self.shop.table_columns()


def impressions(exposure: dict[str, Any]) -> list[dict[str, Any]]:
    """A shown list as events: one impression per item, at its position, with its propensity there.

    >>> [row["event_id"] for row in impressions({"request_id": "r", "user_id": "u", "timestamp": "2024-03-01T12:00:00+00:00",
    ...                                          "items": [{"item_id": "a", "position": 1, "propensity": 1.0}]})]
    ['r-2024-03-01T12:00:00+00:00-1']
    """
    shared: dict[str, Any] = {name: exposure[name] for name in ("user_id", "timestamp", "query", "session_id", "context")
                              if name in exposure}
    list_id = f"{exposure['request_id']}-{exposure['timestamp']}"
    return [{**shared, "event_id": f"{list_id}-{shown['position']}", "event_type": schema.IMPRESSION, "item_id": shown["item_id"],
             "position": shown["position"], "propensity": shown.get("propensity"), "source": SOURCE}
            for shown in exposure["items"]]


def read_unwanted(folder: Path, keys: UserKeys | None = None) -> dict[tuple[str, str], datetime]:
    """The thumbs down of an event log, today's too: (user_id, item_id) → time of the newest, UTC.

    Args:
        folder: of the `EventLog`; it need not exist.
        keys: under which shoppers are named; None: as the log names them.
    """
    keys, found = keys or UserKeys(), dict[tuple[str, str], datetime]()
    for path in sorted((folder / EVENTS).glob("????-??-??.jsonl")):
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in (line for line in lines if UNWANTED in line):  # most of a log is not worth parsing
                with suppress(ValueError, TypeError, KeyError):  # half a line; the night that ingests the day tells of it
                    row = json.loads(line)
                    if row["event_type"] == UNWANTED:
                        key = keys.stored(row["user_id"]), row["item_id"]
                        at = datetime.fromisoformat(row["timestamp"]).astimezone(UTC)
                        found[key] = max(at, found.get(key, at))
    return found


def _read_lines(path: Path, hidden: bool) -> tuple[list[dict[str, Any]], list[tuple[str, int, str, str]]]:
    """A file's rows, and its lines that are none: a disk that was full leaves half a line. Hidden, it may name a shopper."""
    rows, broken = [], []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                datetime.fromisoformat(row["timestamp"])
                if path.parent.name == EXPOSURES:
                    impressions(row)
                else:
                    row["event_id"]
                rows.append(row)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                broken.append((f"{SOURCE}/{path.name}", number, f"no row of the event log ({type(error).__name__})",
                               "left out" if hidden else mask_text(line)[:SHOWN].rstrip("\n")))
    return rows, broken


def _day_of(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.stem)
    except ValueError:
        return None
