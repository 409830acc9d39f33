"""How fast events are read, here and at an earlier commit: `python -m benchmarks.doors.speed SHOP` prints rows per second.

It runs on any commit that has `open_shop`; a shop is a folder, an empty name is the embedded one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import polars as pl

from recsys_core.ingestion import open_shop

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 2


def rows_per_second(name: str) -> float:
    """Read every event of a shop."""
    started = time.perf_counter()
    rows = sum(drop.events.height for drop in open_shop(name).events())
    return rows / (time.perf_counter() - started)


def large_shop(folder: Path, rows: int) -> None:
    """One CSV of events with ids of their own, prices and quoted queries, and its items."""
    n = pl.int_range(rows)
    moment = pl.lit("2024-01-01").str.to_datetime() + pl.duration(seconds=n * 600_000 // rows)
    pl.select(
        n.cast(pl.String).alias("event_id"), (n * 7919 % 100_003).cast(pl.String).alias("user_id"),
        moment.dt.strftime("%Y-%m-%d %H:%M:%S").alias("timestamp"), pl.lit("view").alias("event_type"),
        (n * 31 % 9973).cast(pl.String).alias("item_id"), (n % 1000 / 7).round(2).cast(pl.String).alias("price"),
        pl.when(n % 50 == 0).then(pl.lit("mug, red")).alias("query")).write_csv(folder / "events.csv")
    pl.select(pl.int_range(9973).cast(pl.String).alias("item_id"), pl.lit("Thing").alias("title")).write_csv(folder / "items.csv")


@contextmanager
def earlier_checkout(commit: str) -> Iterator[Path | None]:
    """A folder with the product at an earlier commit, None where the history does not reach back to it."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "before"
        made = subprocess.run(["git", "worktree", "add", "--detach", str(folder), commit], cwd=ROOT, capture_output=True)
        if made.returncode:
            yield None
            return
        try:
            target = folder / "benchmarks" / "doors"
            target.mkdir(parents=True, exist_ok=True)
            for name in ("__init__.py", "speed.py"):
                (target / name).write_text((Path(__file__).parent / name).read_text())
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, capture_output=True)


def interleaved(before: Path, shop: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Middle rows per second before and now, measured in turns in processes of their own."""
    found: dict[Path, list[float]] = {before: [], ROOT: []}
    for at in range(rounds):
        for place in (before, ROOT) if at % 2 == 0 else (ROOT, before):
            found[place].append(_measure(place, shop))
    return median(found[before]), median(found[ROOT])


def _measure(place: Path, shop: str) -> float:
    done = subprocess.run([sys.executable, "-m", "benchmarks.doors.speed", shop], cwd=place, check=True, capture_output=True,
                          text=True, env={**_environment(), "PYTHONPATH": str(place)})
    return float(done.stdout.strip().splitlines()[-1])


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")}


if __name__ == "__main__":
    print(rows_per_second(sys.argv[1]))
