"""The shop contract: what every shop tells, whatever its files look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.pseudonyms import UserKeys

FEW = 5  # so many unreadable records stop nothing


@dataclass(frozen=True)
class DayDrop:
    """One local day as the shop delivered it.

    Args:
        day: the drop's day (for one big events file: the local day of the timestamps).
        events: `schema.RAW_EVENTS`; timestamps may be null and numbers NaN where they are unreadable.
        rejects: lines that could not be read at all: source, line, reason, text (its beginning).
    """

    day: date
    events: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True)
class FileLedger:
    """What became of one file's records: delivered = loaded + set_aside. `example` is the first that could not be read."""

    delivered: int
    loaded: int
    set_aside: int
    example: str = ""

    @property
    def share(self) -> float:
        """What was set aside among what was delivered."""
        return self.set_aside / self.delivered if self.delivered else 0.0


class Shop(ABC):
    """Where raw tables come from. Opening one reads names and headers only."""

    config: ShopConfig
    keys: UserKeys  # under which shoppers are named
    ledger: dict[str, FileLedger]  # by file name, of the files that were read so far

    @abstractmethod
    def days(self) -> list[date]:
        """The local days that have data, ascending, within first_day … last_day; cheap."""

    @abstractmethod
    def _read_events(self, days: list[date]) -> Iterator[DayDrop]:
        """Yield these days (a sublist of `days()`); problems visible in headers stop it at the start."""

    @abstractmethod
    def items(self) -> pl.DataFrame:
        """`schema.RAW_ITEMS` plus the shop's other columns, as delivered."""

    @abstractmethod
    def users(self) -> pl.DataFrame | None:
        """user_id plus the shop's other columns, None where the shop has no users table."""

    @abstractmethod
    def judgments(self) -> pl.DataFrame | None:
        """`schema.JUDGMENTS`, None where the shop has none."""

    @abstractmethod
    def labels(self) -> pl.DataFrame | None:
        """`schema.LABELS`, None where the shop has none."""

    @abstractmethod
    def shelves(self) -> pl.DataFrame | None:
        """`schema.RAW_SHELVES`: what each page offers, and when; None where the shop has none."""

    @abstractmethod
    def promotions(self, first: date, last: date) -> pl.DataFrame | None:
        """`schema.RAW_PROMOTIONS` that overlap the local days first … last; None where the shop has none."""

    @abstractmethod
    def table_columns(self) -> dict[str, schema.Columns]:
        """Columns of "items" and "users" by name and dtype, for predicates; cheap."""

    def day_files(self, day: date) -> list[Path]:
        """The files that a day's events come from; none where the data never changes."""
        return []

    def table_files(self) -> list[Path]:
        """The files of the tables that describe items, users, shelves, promotions and labels."""
        return []

    def events(self, first: date | None = None, last: date | None = None) -> Iterator[DayDrop]:
        """Yield one `DayDrop` per day of first … last (both included) that has data, ascending.

        Raises:
            ShopError: at once for a fault in a file name or header of any of these days, before the
                first day is yielded; on reaching the day for a fault inside a file.
        """
        return self._read_events([day for day in self.days() if (first or day) <= day <= (last or day)])

    def check_ledger(self) -> None:
        """See that no file read so far has too much set aside.

        Raises:
            ShopError: a larger share than `max_set_aside` of a file's records could not be read.
        """
        for name, file in self.ledger.items():
            if file.share > self.config.max_set_aside and file.set_aside >= FEW:
                raise ShopError(name, f"{file.set_aside:,} of {file.delivered:,} records cannot be read ({file.share:.1%}), "
                                f"e.g. {file.example}", "deliver the file again, or raise max_set_aside "
                                f"({self.config.max_set_aside:g}) in shop.yaml")

    @property
    def first_day(self) -> date:
        """The first local day with data."""
        return self._some_days()[0]

    @property
    def last_day(self) -> date:
        """The last local day with data."""
        return self._some_days()[-1]

    def _some_days(self) -> list[date]:
        days = self.days()
        if not days:
            raise ShopError(f"shop {self.config.name!r}", "has no day with events",
                            "deliver events, or widen first_day and last_day in shop.yaml")
        return days
