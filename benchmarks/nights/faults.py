"""The faults of docs/reliability.md: the tests named beside each are run, and a fault counts as covered when all of them pass."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from benchmarks.record import ROOT, Bar

PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@dataclass(frozen=True)
class Fault:
    """A row of the page.

    Args:
        number: of the fault. name: what goes wrong. outcome: what must happen. tests: (file, function) of those that show it.
    """

    number: int
    name: str
    outcome: str
    tests: tuple[tuple[str, str], ...]


def read_faults(page: Path = PAGE) -> list[Fault]:
    """The rows of the page's table, in order."""
    return [Fault(int(number), name, outcome, tuple(TEST.findall(tests)))
            for number, name, outcome, tests in ROW.findall(page.read_text("utf-8"))]


def measure(_: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """The bars and tables of this part; no bundle is asked for."""
    faults = read_faults()
    ended = _run(sorted({test for fault in faults for test in fault.tests}))
    rows = [{"fault": fault.number, "what": fault.name, "tests": len(fault.tests),
             "cases": sum(len(ended[test]) for test in fault.tests), "covered": _covered(fault, ended)} for fault in faults]
    lost = [str(row["fault"]) for row in rows if not row["covered"]]
    bar = Bar("faults.covered", float(sum(row["covered"] for row in rows)), "==", 25, n=len(rows),
              note=f"faults whose named tests all ran and passed; not covered: {', '.join(lost) or 'none'}")
    return [bar], {"Faults": rows}


def _covered(fault: Fault, ended: dict[tuple[str, str], list[bool]]) -> bool:
    return bool(fault.tests) and all(ended[test] and all(ended[test]) for test in fault.tests)


def _run(tests: list[tuple[str, str]]) -> dict[tuple[str, str], list[bool]]:
    """Run tests in a process of their own: (file, function) → of each of its cases, whether it ran and passed."""
    ended: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={told}", *("::".join(test) for test in tests)],
                       cwd=ROOT, check=False)
        for case in ElementTree.parse(told).iter("testcase"):
            file = case.attrib["classname"].replace(".", "/") + ".py"
            ended[file, case.attrib["name"].partition("[")[0]].append(len(case) == 0 or all(
                child.tag not in ("failure", "error", "skipped") for child in case))
    return ended
