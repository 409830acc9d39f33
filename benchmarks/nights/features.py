"""Feature tables of generated events: a rebuild beside pandas, a new day beside a rebuild, and the memory of a large shop."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from benchmarks.nights.pandas_way import pandas_tables
from benchmarks.nights.shop import SEGMENTS, GeneratedShop
from benchmarks.record import ROOT, Bar, peak_gib
from recsys_core.artefacts import folder_hash
from recsys_core.errors import DataError
from recsys_core.features import FeatureConfig, Inputs, build_features, read_features
from recsys_core.schema import FEATURE_TABLES

log = logging.getLogger(__name__)
SCRATCH = Path(os.environ.get("SCRATCH") or ROOT / "var" / "bench" / "nights")
EVENTS, LARGE, REPEATS = 5_000_000, 200_000_000, 5
KEYS = {"item_features": ["item_id", "day"], "segment_events": ["segment", "event_id"], "interactions": ["event_id"],
        "exposures": ["event_id"]}


def measure(_: Path, events: int = EVENTS, large: int = LARGE, repeats: int = REPEATS
            ) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Time rebuilds, appends and pandas in turns, then build the large shop once; no bundle is asked for.

    Args:
        events: of the shop that is timed; its last day holds a hundredth.
        large: events of the shop whose memory is measured.
        repeats: turns.
    """
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=SCRATCH) as scratch:
        rows, equal = _timed(Path(scratch), GeneratedShop(events), repeats)
    faster, append = ([row[name] / row["rebuild_s"] for row in rows] if name == "pandas_s" else
                      [row["rebuild_s"] / row[name] for row in rows] for name in ("pandas_s", "append_s"))
    peak = _peak(large)
    note = "rows equal" if equal else "ROWS DIFFER"
    bars = [
        Bar("features.rows_per_s_over_pandas", median(faster) if equal else None, ">=", 8, min(faster), max(faster), repeats,
            f"{events:,} events, all four tables, 2 threads, Parquet to Parquet beside pandas in memory; {note}"),
        Bar("features.append_speedup", median(append), ">=", 50, min(append), max(append), repeats,
            "the last of 100 days added to 99, beside all 100 from nothing; the same bytes"),
        Bar("features.peak_gib_200m_events", round(peak["peak_gib"], 2) if large >= LARGE else None, "<=", 6, n=1,
            note=f"{large:,} events, one process: {peak['peak_gib']:.2f} GiB, {peak['seconds']:.0f} s"),
    ]
    return bars, {"Feature tables of generated events (seconds)": rows, "A large shop, built once": [peak]}


def _timed(place: Path, shop: GeneratedShop, repeats: int) -> tuple[list[dict[str, Any]], bool]:
    """Seconds per turn, and whether pandas has the same rows."""
    days, inputs = shop.write(place / "clean"), shop.inputs()
    earlier = {day: path for day, path in days.items() if day != max(days)}
    build_features(place / "earlier", earlier, inputs, FeatureConfig())
    rows, equal = [], True
    for turn in range(repeats):
        shutil.rmtree(place / "whole", ignore_errors=True)
        shutil.rmtree(place / "night", ignore_errors=True)
        shutil.copytree(place / "earlier", place / "night")
        rebuild, _ = _clock(lambda: build_features(place / "whole", days, inputs, FeatureConfig()))
        append, _ = _clock(lambda: build_features(place / "night", days, inputs, FeatureConfig()))
        peer, tables = _clock(lambda: pandas_tables(list(days.values()), inputs, SEGMENTS[-1].first_days))
        for table in FEATURE_TABLES:
            if folder_hash(place / "whole" / table) != folder_hash(place / "night" / table):
                raise DataError(table, "a new day gives other bytes than a rebuild", "see tests/features/test_nights.py")
            equal &= turn > 0 or _equal(table, read_features(place / "whole", table).collect(), pl.from_pandas(tables[table]))
        del tables
        rows.append({"turn": turn, "rebuild_s": rebuild, "append_s": append, "pandas_s": peer})
        log.info("%s", rows[-1])
    return rows, equal


def _clock(run: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    start = time.perf_counter()
    made = run()
    return time.perf_counter() - start, made


def _equal(table: str, ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    """Whether both hold the same rows; sums of money agree to the nearest ten-thousandth."""
    contract = FEATURE_TABLES[table]
    columns = [pl.col(name).cast(dtype).round(4) if dtype == pl.Float64 else pl.col(name).cast(dtype) for name, dtype in
               contract.items()]
    return ours.select(columns).sort(KEYS[table]).equals(theirs.select(columns).sort(KEYS[table]))


def _peak(events: int) -> dict[str, Any]:
    """Build a large shop in a process of its own: seconds and GiB at its peak."""
    with TemporaryDirectory(dir=SCRATCH) as scratch:
        start = time.perf_counter()
        GeneratedShop(events).write(Path(scratch) / "clean")
        log.info("%d events written in %.0f s", events, time.perf_counter() - start)
        done = subprocess.run([sys.executable, "-m", "benchmarks.nights.features", scratch, str(events)], check=True, cwd=ROOT,
                              capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return {"events": events, "seconds": seconds, "peak_gib": peak}


def main(scratch: Path, events: int) -> None:
    """Build the tables of the clean days below a folder; print seconds and peak GiB."""
    days = {path.stem: path for path in (scratch / "clean").glob("*.parquet")}
    inputs: Inputs = GeneratedShop(events).inputs()
    seconds, _ = _clock(lambda: build_features(scratch / "features", days, inputs, FeatureConfig()))
    print(seconds, peak_gib())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
