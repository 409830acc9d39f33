"""What the feature tables were made from: per drop its hash, what it holds, and the partials made of it.

The ledger is a cache. Every name in it is a hash of inputs, so a lost ledger costs time and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.artefacts import file_hash, staged_file
from recsys_core.schema import IMPRESSION

NAME = "ledger.json"
READ_AT_ONCE = 32  # drops


@dataclass(frozen=True)
class Drop:
    """One clean day file.

    Args:
        day: its name. path: where it lies.
        stat: size and moment of change: while they stay, so does the hash.
        clean: SHA-256 of the file.
        types: event type → rows.
        first_day: the earliest local day in it, ISO; empty for a file without rows.
        crossing: hash of the next drop → whether a session with impressions here has outcomes there.
    """

    day: str
    path: Path
    stat: list[int]
    clean: str
    types: dict[str, int]
    first_day: str
    crossing: dict[str, bool]

    @property
    def rows(self) -> int:
        return sum(self.types.values())


def digest(*parts: object) -> str:
    """A short hash that tells inputs apart."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:20]


@cache
def code_digest() -> str:
    """Hash of what turns clean events into partials: this package's sources, Polars and DuckDB."""
    sources = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".py", ".sql"))
    return digest(version("polars"), version("duckdb"), [(path.name, file_hash(path)) for path in sources])


def read_ledger(folder: Path) -> dict[str, Any]:
    """Day → what was noted of it; empty where nothing readable is there."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found["days"] if isinstance(found, dict) and found.get("code") == code_digest() else {}


def write_ledger(folder: Path, days: Mapping[str, Any]) -> None:
    """Replace the ledger."""
    with staged_file(folder / NAME) as staging:
        staging.write_text(json.dumps({"code": code_digest(), "days": days}), encoding="utf-8")


def survey(clean_events: Mapping[str, Path], noted: Mapping[str, Any]) -> list[Drop]:
    """Every drop in order of days; only those that changed are read.

    Args:
        clean_events: day → its clean Parquet.
        noted: the ledger's days.
    """
    drops: dict[str, Drop] = {}
    for day, path in sorted(clean_events.items()):
        now = path.stat()
        stat, known = [now.st_size, now.st_mtime_ns, now.st_ino], noted.get(day, {}).get("drop")
        clean = known["clean"] if known is not None and known["stat"] == stat else file_hash(path)
        if known is not None and known["clean"] == clean:
            drops[day] = Drop(**{**known, "path": path, "stat": stat})
        else:
            drops[day] = Drop(day, path, stat, clean, {}, "", {})
    changed = [drop for drop in drops.values() if not drop.first_day]
    for at in range(0, len(changed), READ_AT_ONCE):
        some = changed[at:at + READ_AT_ONCE]
        rows = read_drops([drop.path for drop in some], ("event_type", "day"))
        types = {key[0]: dict(sorted(part.select("event_type", "len").iter_rows())) for key, part in rows.group_by(
            "_file", "event_type").len().partition_by("_file", as_dict=True).items()}
        first = dict(rows.group_by("_file").agg(pl.col("day").min().cast(pl.String)).iter_rows())
        for n, drop in enumerate(some):
            drops[drop.day] = replace(drop, types=types.get(n, {}), first_day=first.get(n, ""))
    return list(drops.values())


def read_drops(paths: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of clean files and `_file`, the position of each row's file."""
    rows = pl.scan_parquet(list(paths), glob=False, include_file_paths="_path").select("_path", *columns).collect(
        engine="in-memory")
    runs, place = rows["_path"].rle().struct.unnest(), {str(path): n for n, path in enumerate(paths)}
    files = np.repeat(np.array([place[path] for path in runs["value"]], np.int32), runs["len"].to_numpy())
    return rows.select(pl.Series("_file", files, dtype=pl.Int32), *columns)


def note_drop(drop: Drop) -> dict[str, Any]:
    """A drop as the ledger keeps it."""
    return {**asdict(drop), "path": ""}


def note_crossings(drops: list[Drop], outcome: str) -> None:
    """Fill in `crossing` where it is not known: sessions that go on past a drop's end join it to the next."""
    unknown = [n for n, (drop, after) in enumerate(pairwise(drops)) if after.clean + outcome not in drop.crossing]
    for at in range(0, len(unknown), READ_AT_ONCE):
        some = unknown[at:at + READ_AT_ONCE]
        read = sorted({n + step for n in some for step in (0, 1)})
        sessions = _sessions([drops[n].path for n in read], outcome)
        place = {n: position for position, n in enumerate(read)}
        for n in some:
            drops[n].crossing.clear()
            drops[n].crossing[drops[n + 1].clean + outcome] = bool(
                np.isin(sessions[place[n]][0], sessions[place[n + 1]][1]).any())


def crosses(drop: Drop, after: Drop, outcome: str) -> bool:
    """Whether a session with impressions in `drop` has outcomes in the drop after it."""
    return drop.crossing[after.clean + outcome]


def _sessions(paths: Sequence[Path], outcome: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """uint64 per file: hashes of the sessions with impressions, and of those with outcomes."""
    rows = read_drops(paths, ("event_type", "session_id"))
    file, hashed = rows["_file"].to_numpy(), rows["session_id"].hash().to_numpy()
    bounds = np.searchsorted(file, np.arange(len(paths) + 1))
    kinds = [(rows["event_type"] == kind).to_numpy() for kind in (IMPRESSION, outcome)]
    shown, led = ([np.unique(hashed[low:high][kind[low:high]]) for low, high in pairwise(bounds)] for kind in kinds)
    return list(zip(shown, led, strict=True))


def total_types(drops: Iterable[Drop]) -> dict[str, int]:
    """Event type → rows in all drops."""
    found: dict[str, int] = {}
    for drop in drops:
        for name, rows in drop.types.items():
            found[name] = found.get(name, 0) + rows
    return found
