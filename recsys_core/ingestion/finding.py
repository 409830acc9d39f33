"""Which of a folder's files are whose: tables by the contract's names or `files`, day drops by their day."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.reading import Join, file_format, split_name

log = logging.getLogger(__name__)

EXTENSIONS = ("parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "tsv", "tsv.gz")  # the contract's; others are looked for next
DAY_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")
# What transfers leave beside a file. Such a file stands for the drop that it names, and is none itself.
COMPANIONS = ("md5", "sha1", "sha256", "crc", "crc32", "done", "ok", "ready", "success", "log", "asc", "sig")


def find_table(root: Path, table: str, config: ShopConfig, taken: Iterable[Path] = (), several: bool = False) -> list[Path]:
    """A table's file (or files, where `files` names a pattern and several are fine).

    Args:
        root: the folder of the data.
        taken: files of other tables.

    Raises:
        ShopError: a declared file is missing, or it is not clear which file is meant.
    """
    declared = {str(name): pattern for name, pattern in config.files.items()}.get(table)
    found = _declared(root, declared, set(taken)) if declared else _by_name(root, table)
    if isinstance(declared, str) and not found:
        raise ShopError(str(root / declared), "the file is missing or of no known format",
                        f"correct files → {table} in shop.yaml ({', '.join(EXTENSIONS)} are read)")
    if len(found) > 1 and not (several and declared):
        raise ShopError(str(root), f"several {table} files: {', '.join(path.name for path in found)}",
                        f"keep one, or name it in shop.yaml: files: {{{table}: {found[0].name}}}")
    return found


def _declared(root: Path, declared: str | list[str], taken: set[Path]) -> list[Path]:
    """The files of the first pattern that fits any; a name that exists is no pattern."""
    for pattern in [declared] if isinstance(declared, str) else declared:
        try:
            exact = (root / pattern).is_file()
            paths = sorted(root.glob(pattern)) if set(pattern) & set("*?[") and not exact else [root / pattern]
            found = [path for path in dict.fromkeys(paths) if path.is_file() and file_format(path) and path not in taken]
        except (ValueError, NotImplementedError, OSError) as error:
            raise ShopError(str(root), f"{pattern!r} is no file name or pattern ({error})",
                            "write a name or pattern relative to the data folder in `files` of shop.yaml") from None
        if found:
            return found
    return []


def _by_name(root: Path, table: str) -> list[Path]:
    """The contract's names; where none of them exists, the same table in other letters, formats or compression."""
    exact = [path for extension in EXTENSIONS if (path := root / f"{table}.{extension}").is_file()]
    if exact:
        return exact
    found = [path for path in sorted(root.iterdir()) if path.is_file() and file_format(path)
             and split_name(path).stem.lower() == table]
    if len(found) == 1:
        log.info("%s is read as the %s table", found[0], table)
    return found


def joins_of(root: Path, config: ShopConfig) -> tuple[Join, ...]:
    """The files that `joins` names."""
    for join in config.joins:
        if not (root / join.file).is_file():
            raise ShopError(str(root / join.file), "the file of a join is missing", "correct `joins` in shop.yaml")
    return tuple(Join(root / join.file, join.on) for join in config.joins)


def find_drops(root: Path, config: ShopConfig) -> dict[date, Path]:
    """Day → its drop, of the first folder that has any."""
    if isinstance(config.files.get("events"), str):
        return {}
    for name in dict.fromkeys((config.day_drops, "events")):
        if _is_folder(root / name, config) and (drops := _drops_in(root / name, root)):
            return drops
    return {}


def _is_folder(folder: Path, config: ShopConfig) -> bool:
    try:
        return folder.is_dir()
    except (ValueError, OSError) as error:
        raise ShopError(str(folder), f"day_drops {config.day_drops!r} is no folder name ({error})",
                        "correct day_drops in shop.yaml") from None


def _drops_in(folder: Path, root: Path) -> dict[date, Path]:
    drops: dict[date, Path] = {}
    unread: list[Path] = []
    for path in sorted(folder.iterdir()):
        named = bool(DAY_NAME.match(path.name))
        if path.name[0] in "._" or (not named and (folder == root or not _claims_rows(path))):
            continue
        if not path.is_file() or file_format(path) is None:
            unread += [path] if named else []
            continue
        day = _day_of(path)
        if day in drops:
            raise ShopError(str(folder), f"{drops[day].name} and {path.name} are drops of the same day", "keep one of them")
        drops[day] = path
    _refuse_unread(unread, drops)
    single = [path for extension in EXTENSIONS if (path := root / f"events.{extension}").is_file()]
    if drops and single:
        raise ShopError(str(root), f"has both day drops in {folder.name}/ and {single[0].name}", "keep one of them")
    return drops


def _claims_rows(path: Path) -> bool:
    """A name without a day that is a fault in a folder of day drops; notes in plain text are none."""
    return path.is_file() and file_format(path) not in (None, ".txt", ".dat", ".zip")


def _day_of(path: Path) -> date:
    try:
        return date.fromisoformat(split_name(path).stem)
    except ValueError:
        raise ShopError(str(path), "its name is not a day", "call it YYYY-MM-DD.csv (or .jsonl, .parquet), or move it "
                        "out of the folder of day drops") from None


def _refuse_unread(paths: list[Path], drops: dict[date, Path]) -> None:
    """A name that begins with a day and is not read may be a day that would be missing.

    Raises:
        ShopError: it is, or it may be.
    """
    for path in paths:
        companion = path.name.rpartition(".")[2].lower() in COMPANIONS
        if not companion or path.name[:10] not in {day.isoformat() for day in drops}:
            what = "is a folder" if path.is_dir() else "is named like a day, but its format is not read"
            raise ShopError(str(path), what, "deliver one file a day, YYYY-MM-DD.csv (or .jsonl, .parquet), or move it "
                            "out of the folder of day drops")
