"""Benchmarks of several parts over one bundle: finished parts are kept, and any part can be measured alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, Bar, Parts, show, versions, write_results
from recsys_core.errors import RecsysError

BUNDLE = ROOT / "var" / "bench" / "chain" / "full" / "bundle"
Measured = tuple[list[Bar], dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Part:
    """One part of a benchmark.

    Args:
        measure: from the bundle's folder to bars and tables.
        goals: bar → comparison and goal, where it is not measured.
    """

    measure: Callable[[Path], Measured]
    goals: dict[str, tuple[str, float]]


def run_parts(name: str, parts: Mapping[str, Part], peers: Sequence[str], bundle: Path | None = BUNDLE) -> None:
    """Measure the parts that PARTS names, or all, over the bundle that BUNDLE names, and write benchmarks/results/NAME.json.

    Args:
        name: of the benchmark.
        parts: its parts by name.
        peers: packages whose versions belong beside the figures.
        bundle: where BUNDLE names none; None: the parts ask no bundle.

    Raises:
        RecsysError: no bundle, or a part that there is not.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    folder = Path(os.environ.get("BUNDLE") or bundle or ROOT)
    if bundle is not None and not (folder / "manifest.json").is_file():
        raise RecsysError("BUNDLE", f"there is no bundle at {folder}", "name one, or run make bench-chain")
    wanted = [part for part in os.environ.get("PARTS", "").split(",") if part]
    unknown = set(wanted) - set(parts)
    if unknown:
        raise RecsysError("PARTS", f"{sorted(unknown)[0]!r} is no part", f"use some of {', '.join(parts)}")
    kept = Parts(ROOT / "var" / "bench" / name, [ROOT / "recsys_core", ROOT / "benchmarks"])
    bars: list[Bar] = []
    tables: dict[str, list[dict[str, Any]]] = {}
    for one, part in parts.items():
        if wanted and one not in wanted:
            bars += [Bar(bar, None, *goal, note="not measured: PARTS left it out") for bar, goal in part.goals.items()]
            continue
        found = kept.get(one, lambda part=part: _measured(part, folder))
        bars += [Bar(**bar) for bar in found["bars"]]
        tables |= found["tables"]
    print(show(write_results(name, bars, seed=0, settings={"threads": 1, "parts": wanted or list(parts)}, tables=tables,
                             peers=versions(list(peers)))))


def _measured(part: Part, folder: Path) -> dict[str, Any]:
    bars, tables = part.measure(folder)
    return {"bars": [{name: value for name, value in bar.to_json().items() if name != "holds"} for bar in bars], "tables": tables}
