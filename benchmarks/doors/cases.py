"""Small inputs that once failed, one folder a fault, and what must come of each; the environment names where they lie.

`READING` holds those that loading a shop decides. Each function gets a folder and returns "" or what is wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks.doors.serving_cases import serving_checks
from recsys_core.cleaning import CleaningConfig, clean_days, clean_items
from recsys_core.errors import RecsysError
from recsys_core.ingestion import open_shop

Check = Callable[[Path], str]


def _events(folder: Path) -> pl.DataFrame:
    return pl.concat([drop.events for drop in open_shop(folder).events()])


def _night(folder: Path) -> None:
    """Load and clean every day, as a night does."""
    shop = open_shop(folder)
    raw = {drop.day.isoformat(): drop.events.lazy() for drop in shop.events()}
    config = CleaningConfig(time_zone=shop.config.time_zone, max_set_aside=shop.config.max_set_aside)
    list(clean_days(raw, sorted(raw), clean_items(shop.items())["item_id"], config))


def _is(found: object, right: object) -> str:
    return "" if found == right else f"{found!r} instead of {right!r}"


def _refused(*words: str, what: Callable[[Path], object] = _night) -> Check:
    def check(folder: Path) -> str:
        try:
            what(folder)
        except RecsysError as error:
            missing = [word for word in words if word not in str(error)]
            return f"the error {error} lacks {missing}" if missing else ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "it loads"
    return check


def _items(*ids: str) -> Check:
    return lambda folder: _is(open_shop(folder).items()["item_id"].to_list(), list(ids))


def _column(name: str, *values: object) -> Check:
    return lambda folder: _is(_events(folder)[name].to_list(), list(values))


def _days(count: int, events: int) -> Check:
    return lambda folder: _is((len(open_shop(folder).days()), _events(folder).height), (count, events))


def _unnamed(folder: Path) -> str:
    return _is((open_shop(folder).items().columns[-1], _events(folder).height), ("price", 3))


def _brackets(folder: Path) -> str:
    shop = open_shop(folder / "shop [1]")
    return _is((shop.items().height > 0, _events(folder / "files-entry").height > 0), (True, True))


def _night_passes(folder: Path) -> str:
    _night(folder)
    return ""


def _at(*clock: int) -> datetime:
    return datetime(2024, 2, *clock, tzinfo=UTC)  # type: ignore[misc, arg-type]


READING: dict[str, Check] = {
    "01-stray-inch-marks": _items(*(f"{n:03d}" for n in range(10))),
    "02-inch-mark-in-query-loses-days": _days(10, 10),
    "03-unnamed-column": _unnamed,
    "04-offset-in-timestamp-format": _column("timestamp", _at(1, 10), _at(2, 4, 30)),
    "06-uppercase-extension": _days(3, 9),
    "06b-unread-drop-formats": lambda folder: _is(len(open_shop(folder).days()), 3),
    "08-hour-only-format": _column("timestamp", _at(1, 10), _at(2, 11)),
    "09-parquet-binary-or-null-timestamp": lambda folder: _is(_events(folder)["timestamp"].null_count(), 0),
    "10-float-ids": lambda folder: _night_passes(folder) or _is(_events(folder)["item_id"].str.contains(".",
    literal=True).any(), False),
    "11-nan-ids": lambda folder: _is(_events(folder)["user_id"].is_in(["NaN", "nan"]).any() or False, False),
    "11b-nan-ids-jsonl": _column("user_id", None, None, "7"),
    "12-items-from-events-item_id": _items("001", "002", "003"),
    "14-compact-dates-in-drops": _column("timestamp", _at(1), _at(1)),
    "17-utf16": _items("001", "002", "003"),
    "18-semicolon": _items("001", "002", "003"),
    "21-python-list-category": lambda folder: _is(open_shop(folder).items()["category"].to_list(), ["Toys > Games",
    "Bath", None]),
    "22-pretty-json": _column("user_id", "a"),
    "23-slash-dates-in-drops": _column("timestamp", _at(1, 10), _at(1, 11)),
    "24-latin1-items": lambda folder: _is(open_shop(folder).items()["title"].to_list(), ["Möbel", "Bücher", "Lamp"]),
    "37-all-events-unknown": _refused("unknown_item", "leading zeros"),
    "41-nan-price-drops-events": _column("price", None, 12.5, None),
    "50-square-brackets": _brackets,
    "54-leading-zero-across-formats": _refused("unknown_item", "leading zeros", "0108775"),
    "55-unpadded-hours": _column("timestamp", _at(1, 9, 5), _at(1, 10, 5), _at(1, 8, 59)),
    "61-reserved-segment-names": _refused("'auto'", "requests"),
    "63-decimal-comma-mixed": lambda folder: _is(open_shop(folder).items()["price"].to_list(), [12.5, 8.0, 1299.0, 12.5]),
    "69-inch-mark-smallest": lambda folder: _is(open_shop(folder).items()["title"].to_list(), ['5" pipe', '6" pipe', "plain"]),
}


def cases_right(home: Path) -> dict[str, str]:
    """Case → "" or what is wrong, of every case that the folder named by CASES holds and that is known here.

    Args:
        home: of a finished cycle, see `serving_cases`.
    """
    root = os.environ.get("CASES")
    if not root:
        return {}
    found = {}
    for name, check in {**READING, **serving_checks(home)}.items():
        source = Path(root) / name
        if not source.is_dir():
            continue
        with TemporaryDirectory() as place:  # a check may write beside its input
            folder = Path(shutil.copytree(source, Path(place) / name))
            try:
                found[name] = check(folder)
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
    return found
