"""A shopper is erased from a home: every row, history and golden request; what learned from them is flagged and made again.

The order makes it safe to kill and run again: the list that keeps the shopper out comes first, then what needs the shopper's
events to be found, then the events. Each file is replaced in one rename.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from recsys_core.artefacts import one_cycle, read_json, staged_file
from recsys_core.collection import Sessions, add_erased, read_erased, rewrite_lines
from recsys_core.deployment.forget import Shopper, forget_shopper
from recsys_core.errors import RecsysError
from recsys_core.pseudonyms import UserKeys, digest_id
from recsys_core.schema import UTC, Columns
from recsys_core.serving import HISTORIES, MANIFEST

log = logging.getLogger(__name__)

EVENTS = Path("clean") / "clean_events"
TABLES = ("features", "daily_recommendations", "raw", "clean")  # clean last: the shopper's event ids are found there
LEARNED = ("text_encoder", "base_model", "student", "search_model", "segment_adapter", "segment_evaluation", "bundle", "champion")


@dataclass
class Erased:
    """What was found of a shopper.

    Args:
        rows: table or folder → rows that went. bundles: folders that were replaced. touched: artefacts that the next cycle
            makes again. unread: bundles that do not verify and were left.
    """

    rows: dict[str, int] = field(default_factory=dict)
    bundles: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def erase_user(home: Path, user_id: str, sessions: Sessions | None, key: Path | None, keys: UserKeys | None = None) -> Erased:
    """Remove a shopper from a home, under every name, and keep them out of it; a second run finds nothing.

    Args:
        home: RECSYS_HOME.
        user_id: the shop's.
        sessions: where the service remembers shoppers; None: nowhere.
        key: PEM file of the private key that signs bundles; None: nobody does.
        keys: under which shoppers are named; None: by their ids.

    Raises:
        RecsysError: a cycle runs in the home, its list of erased shoppers is broken, or its bundle's user key is missing.
    """
    found, keys = Erased(), keys or UserKeys()
    names, stored = keys.names(user_id), keys.stored(user_id)
    _check_keys(home, keys)
    with one_cycle(home):
        events = _events(home, names)
        if not events.is_empty():
            found.touched = [name for name in LEARNED if (home / name).is_dir()]
        if found.touched or digest_id(stored) not in read_erased(home):
            add_erased(home, stored, found.touched)
        _forget(home, [Shopper(name, events) for name in names], key, found)
        shutil.rmtree(home / ".staging", ignore_errors=True)  # halves of killed runs
        if sessions is not None:
            for name in names:
                sessions.forget(name)
        for path in sorted((home / "collected").glob("*/*.jsonl")):
            rows = rewrite_lines(path, lambda line: None if _names(line, names) else line)
            _count(found, f"collected/{path.parent.name}", rows)
        for table in TABLES:
            for path in sorted((home / table).rglob("*.parquet")):
                inner = path.relative_to(home).parts[:2]
                _count(found, "/".join(inner).removesuffix(".parquet"), _rewrite_table(path, names, events["event_id"]))
        if found.rows:
            add_erased(home, stored, found.touched)  # whatever was trained until now may have seen the rows
    return found


def _check_keys(home: Path, keys: UserKeys) -> None:
    for name in ("bundle", "champion"):
        try:
            manifest = read_json(home / name / MANIFEST)
        except RecsysError:
            continue  # there is none, or a broken one, which is told when it is looked into
        keys.check(manifest.get("user_key"), str(home / name))


def _events(home: Path, names: Sequence[str]) -> pl.DataFrame:
    """The shopper's clean events: event_id, item_id, query, timestamp."""
    columns: Columns = {"event_id": pl.String, "item_id": pl.String, "query": pl.String, "timestamp": UTC}
    files = sorted((home / EVENTS).glob("*.parquet"))
    parts = [pl.scan_parquet(path, glob=False).filter(pl.col("user_id").is_in(names)).select(*columns).collect()
             for path in files]
    return pl.concat([pl.DataFrame(schema=columns), *parts])


def _forget(home: Path, shoppers: Sequence[Shopper], key: Path | None, found: Erased) -> None:
    """Every bundle of the home, those that MLflow keeps included."""
    for folder in sorted(path.parent for path in home.rglob(MANIFEST) if (path.parent / HISTORIES).is_file()):
        if any(part.startswith(".staging") for part in folder.relative_to(home).parts):
            continue
        try:
            if any([forget_shopper(folder, shopper, key) for shopper in shoppers]):
                found.bundles.append(folder.relative_to(home).as_posix())
        except RecsysError as error:
            log.warning("%s is left as it is: %s", folder, error)
            found.unread.append(folder.relative_to(home).as_posix())


def _count(found: Erased, name: str, rows: int) -> None:
    if rows:
        found.rows[name] = found.rows.get(name, 0) + rows


def _rewrite_table(path: Path, shopper: Sequence[str], event_ids: pl.Series) -> int:
    """Replace a table by one without the shopper's rows; how many there were."""
    names = pl.read_parquet_schema(path)
    if "user_id" in names:
        other = ~pl.col("user_id").str.strip_chars().is_in(shopper) | pl.col("user_id").is_null()
    elif "event_id" in names:
        other = ~pl.col("event_id").is_in(event_ids.implode())
    else:
        return 0
    rows = pl.read_parquet(path, glob=False)
    kept = rows.filter(other)
    if kept.height < rows.height:
        with staged_file(path) as staging:
            kept.write_parquet(staging, compression="zstd")
    return rows.height - kept.height


def _names(line: bytes, names: Sequence[str]) -> bool:
    """Whether a line of a log is the shopper's; half a line that holds a name is."""
    try:
        return json.loads(line).get("user_id") in names
    except (ValueError, AttributeError):
        return any(name.encode() in line for name in names)


def lines_of(found: Erased) -> Iterator[str]:
    """What was found, in words."""
    yield from (f"{name:<28} {rows:>8,} rows" for name, rows in sorted(found.rows.items()))
    yield from (f"{name:<28} made anew without the shopper" for name in found.bundles)
    yield from (f"{name:<28} does not verify and was left: remove it" for name in found.unread)
    if found.touched:
        yield f"learned from the shopper, and made again by the next cycle: {', '.join(found.touched)}"
    if not found.rows and not found.bundles:
        yield "nothing was found of this shopper"
