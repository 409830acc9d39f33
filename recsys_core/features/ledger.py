"""What the feature tables were made from: per drop its hash, what it holds, and the partials made of it.

The ledger is a cache. Every name in it is a hash of inputs, so a lost ledger costs time and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.artefacts import file_hash, staged_file
from recsys_core.schema import IMPRESSION

NAME = "ledger.json"


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
    drops: list[Drop] = []
    for day in sorted(clean_events):
        path = Path(clean_events[day])
        now = path.stat()
        stat, known = [now.st_size, now.st_mtime_ns, now.st_ino], noted.get(day, {}).get("drop")
        if known is not None and known["stat"] == stat:
            drops.append(Drop(**{**known, "path": path}))
            continue
        clean = file_hash(path)
        if known is not None and known["clean"] == clean:
            drops.append(Drop(**{**known, "path": path, "stat": stat}))
            continue
        rows = pl.read_parquet(path, columns=["event_type", "day"], glob=False)
        types = dict(sorted(rows["event_type"].value_counts().iter_rows()))
        first = rows["day"].min()
        drops.append(Drop(day, path, stat, clean, types, str(first) if first is not None else "", {}))
    return drops


def note_drop(drop: Drop) -> dict[str, Any]:
    """A drop as the ledger keeps it."""
    return {**asdict(drop), "path": ""}


def note_crossings(drops: list[Drop], outcome: str) -> None:
    """Fill in `crossing` where it is not known: sessions that go on past a drop's end join it to the next."""
    for drop, after in pairwise(drops):
        if (key := after.clean + outcome) not in drop.crossing:
            drop.crossing.clear()
            drop.crossing[key] = bool(drop.types.get(IMPRESSION) and after.types.get(outcome)
                                      and _sessions(drop, IMPRESSION).is_in(_sessions(after, outcome).implode()).any())


def crosses(drop: Drop, after: Drop, outcome: str) -> bool:
    """Whether a session with impressions in `drop` has outcomes in the drop after it."""
    return drop.crossing[after.clean + outcome]


def _sessions(drop: Drop, event_type: str) -> pl.Series:
    rows = pl.scan_parquet(drop.path, glob=False).filter(pl.col("event_type") == event_type)
    return rows.select("session_id").collect(engine="in-memory")["session_id"]


def total_types(drops: Iterable[Drop]) -> dict[str, int]:
    """Event type → rows in all drops."""
    found: dict[str, int] = {}
    for drop in drops:
        for name, rows in drop.types.items():
            found[name] = found.get(name, 0) + rows
    return found
