"""The shop contract: any folder of items and events, or the embedded shop, behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import SHOP_FILE, FamilySpec, SegmentSpec, ShopConfig, load_config
from recsys_core.ingestion.segments import validate_families, validate_segments

__all__ = ["DayDrop", "FamilySpec", "SegmentSpec", "Shop", "ShopConfig", "open_shop"]
EMBEDDED = "complete_journey"


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


class Shop(ABC):
    """Where raw tables come from. Opening one reads names and headers only."""

    config: ShopConfig

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
    def table_columns(self) -> dict[str, dict[str, pl.DataType]]:
        """Columns of "items" and "users" by name and dtype, for predicates; cheap."""

    def events(self, first: date | None = None, last: date | None = None) -> Iterator[DayDrop]:
        """Yield one `DayDrop` per day of first … last (both included) that has data, ascending.

        Raises:
            ShopError: at once for a fault in a file name or header of any of these days, before the
                first day is yielded; on reaching the day for a fault inside a file.
        """
        return self._read_events([day for day in self.days() if (first or day) <= day <= (last or day)])

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


def open_shop(folder: str | Path | None, profile: Literal["full", "quick"] = "full") -> Shop:
    """Open a shop and check everything that names and headers can tell.

    Args:
        folder: a folder that keeps the shop contract (docs/shop_contract.md); None or "" is the embedded
            Complete Journey data.
        profile: "quick" is a deterministic slice of the embedded shop; other shops are always full
            (narrow them by first_day and last_day).

    Raises:
        ShopError: no such folder, a broken shop.yaml, a missing file, a predicate that does not parse.
    """
    if profile not in ("full", "quick"):
        raise ShopError(f"profile {profile!r}", "is unknown", "use full or quick")
    config, base = _config_of(folder)
    if config.preset == EMBEDDED:
        from recsys_core.ingestion.presets.complete_journey import CompleteJourney

        shop: Shop = CompleteJourney(config, profile)
    else:
        from recsys_core.ingestion.folder import FolderShop

        shop = FolderShop(config, base)
    artefact = f"the preset {EMBEDDED}" if base is None else str(base / SHOP_FILE)
    tables = {"events": {name: dtype for name, dtype in schema.CLEAN_EVENTS.items() if name != "context"},
              "context": dict.fromkeys(shop.config.context, pl.String())} | shop.table_columns()
    validate_segments(shop.config.segments, tables, artefact)
    validate_families(shop.config.families, tables, artefact)
    return shop


def _config_of(folder: str | Path | None) -> tuple[ShopConfig, Path | None]:
    if folder is None or str(folder) == "":
        from recsys_core.ingestion.config import make_config, preset_settings

        artefact = f"the preset {EMBEDDED}"
        return make_config(preset_settings(EMBEDDED, artefact), artefact), None
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise ShopError(str(base), "is not a folder", "name a folder that holds items and events, "
                        "or unset RECSYS_SHOP to use the embedded shop")
    return load_config(base), base
