"""What a benchmark leaves behind: bars that hold or not, where and on what they were measured, and a table to read."""

from __future__ import annotations

import hashlib
import logging
import math
import operator
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import RecsysError

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True)
class Bar:
    """One figure beside the goal it must reach.

    Args:
        bar: dotted name. value: the figure, None where it could not be measured. op: one of `OPERATORS`.
        low, high: 95% interval, or the least and most of the repeats (the note says which). n: repeats, seeds or users.
        note: how it was measured, or why it was not.

    >>> Bar("speed", 12.0, ">=", 10).holds, Bar("speed", None, ">=", 10, note="no GPU").holds
    (True, False)
    """

    bar: str
    value: float | None
    op: str
    goal: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise RecsysError(f"bar {self.bar}", f"unknown comparison {self.op!r}", f"use one of {list(OPERATORS)}")
        if self.value is None and not self.note:
            raise RecsysError(f"bar {self.bar}", "neither a value nor a reason", "say in `note` why it is missing")
        if any(x is not None and not math.isfinite(x) for x in (self.value, self.low, self.high)):
            raise RecsysError(f"bar {self.bar}", f"a figure is not finite: {self}", "report None and the reason")

    @property
    def holds(self) -> bool:
        """Whether the value reaches the goal; a missing value never does."""
        return self.value is not None and bool(OPERATORS[self.op](self.value, self.goal))

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        return {**{name: fields[name] for name in ("bar", "value", "op", "goal")}, "holds": self.holds,
                **{name: fields[name] for name in ("low", "high", "n", "note")}}


def commit() -> str:
    """The commit that is checked out."""
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.strip()


def uncommitted() -> list[str]:
    """Changed or new files of the product and the benchmarks that the commit does not hold, results left out."""
    found = subprocess.run(["git", "status", "--porcelain", "--untracked-files=all", "recsys_core", "benchmarks"],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(line[3:] for line in found if not line[3:].startswith("benchmarks/results/"))


def machine() -> dict[str, Any]:
    """Processor, cores usable by this process, memory, and GPU if there is one."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "ram_gib": round(memory), "gpu": _gpu()}


def _gpu() -> str | None:
    try:
        found = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], check=True,
                               capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.splitlines()[0] if found else None


def peak_gib() -> float:
    """Most memory this process has held, in GiB. `ru_maxrss` would count what its parent held before it was started."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**20


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of packages."""
    return {name: version(name) for name in names}


def write_results(name: str, bars: Sequence[Bar], *, seed: int, settings: dict[str, Any], peers: dict[str, str],
                  tables: dict[str, list[dict[str, Any]]], folder: Path = RESULTS) -> Path:
    """Write `folder`/NAME.json.

    Args:
        settings: what was run with. peers: name → version of what it was compared with.
        tables: title → rows, each a flat dictionary with the same keys.

    Raises:
        RecsysError: two bars have the same name.
    """
    names = [bar.bar for bar in bars]
    if len(set(names)) < len(names):
        raise RecsysError(f"results of {name}", f"a bar appears twice in {names}", "measure each bar once")
    path = folder / f"{name}.json"
    write_json(path, {
        "name": name, "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": seed,
        "machine": machine(), "settings": {**settings, "uncommitted": uncommitted()}, "peers": peers,
        "bars": [bar.to_json() for bar in bars], "tables": tables})
    return path


def show(path: Path) -> str:
    """The result file as text: the bars, then every table."""
    found = read_json(path)
    lines = [f"{found['name']} at {found['commit'][:10]}, {found['date']}, {found['machine']['cpu']} × "
             f"{found['machine']['cores']}", ""]
    lines += _table([{"bar": b["bar"], "value": b["value"], "goal": f"{b['op']} {b['goal']:g}",
                      "holds": "yes" if b["holds"] else "NO", "95%": _span(b), "n": b["n"], "note": b["note"]}
                     for b in found["bars"]])
    for title, rows in found["tables"].items():
        lines += ["", title, *_table(rows)]
    return "\n".join(lines)


def _span(bar: dict[str, Any]) -> str | None:
    return None if bar["low"] is None else f"{_cell(bar['low'])} … {_cell(bar['high'])}"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["  (none)"]
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in cells]


class Parts:
    """Finished parts of a benchmark, so that an interrupted run goes on where it stopped.

    A part belongs to a commit and to the bytes of the sources it was measured with: on any other it is measured again.

    Args:
        folder: where the parts are kept, one folder per key. sources: files and folders whose Python, SQL and text
            files the figures depend on.
    """

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        digest = hashlib.sha256(commit().encode())
        for path in sorted(p for source in sources for p in ([source] if source.is_file() else source.rglob("*"))
                           if p.suffix in (".py", ".sql", ".txt") and not _inside_environment(p)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
        self.folder = folder / digest.hexdigest()[:16]

    def get(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The JSON of a finished part, measured now if there is none."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            log.info("%s: kept from an earlier run on the same commit and sources", name)
            return read_json(path)
        log.info("%s: measuring", name)
        found = measure()
        write_json(path, found)
        return found


def _inside_environment(path: Path) -> bool:
    return any(part.startswith(".venv") or part == "__pycache__" for part in path.parts)
