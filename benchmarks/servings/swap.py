"""Requests that fail while the service changes to another bundle again and again, under load."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.record import Bar
from benchmarks.servings.http import calls
from benchmarks.servings.load import Load, press
from benchmarks.servings.served import Served, served
from recsys_core.artefacts import publish_folder
from recsys_core.serving import Bundle

SWAPS, RATE, WAIT_S = 5, 60.0, 60.0


def publish_copy(source: Path, target: Path, name: str) -> None:
    """Publish a bundle that differs in its lineage only."""
    staging = target.parent / f"next-{name}"
    shutil.copytree(source, staging)
    manifest = json.loads((staging / "manifest.json").read_text())
    manifest["lineage"]["cycle"] = name
    (staging / "manifest.json").write_text(json.dumps(manifest))
    publish_folder(staging, target)


def generations(service: Served) -> int:
    """How many generations have been ready so far."""
    return service.log.read_text().count('"message": "serving"')


def wait_for(service: Served, count: int) -> bool:
    """Whether so many generations are ready before the time is over."""
    until = time.monotonic() + WAIT_S
    while generations(service) < count and time.monotonic() < until:
        time.sleep(0.1)
    return generations(service) >= count


def run(folder: Path, swaps: int = SWAPS, rate: float = RATE) -> dict[str, Any]:
    """Publish copies of a bundle in the place that is served, while requests come in."""
    asked = calls(Bundle.load(folder))
    with tempfile.TemporaryDirectory() as work:
        place, loads, stop = Path(work) / "bundle", [], threading.Event()
        publish_copy(folder, place, "first")
        with served(place, Path(work), "--rate", "0") as service:
            def keep_asking() -> None:
                while not stop.is_set():
                    loads.append(press(service.url, asked, rate, 2.0))

            asking = threading.Thread(target=keep_asking)
            asking.start()
            done = 0
            for n in range(swaps):
                publish_copy(folder, place, f"swap-{n}")
                done += wait_for(service, n + 2)
            time.sleep(2.0)  # the last generation drains under load
            stop.set()
            asking.join()
        return {"swaps": done, **_together(loads)}


def _together(loads: list[Load]) -> dict[str, Any]:
    statuses = sum((load.statuses for load in loads), start=Load().statuses)
    return {"asked": sum(statuses.values()), "failed": sum(load.failed for load in loads), "statuses": dict(statuses),
            "p99_ms": Load(ms=[ms for load in loads for ms in load.ms]).quantile(0.99)}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    found = run(folder)
    note = (f"{found['swaps']} of {SWAPS} swaps under {RATE:g} requests a second over kept connections, none tried twice; "
            f"answers: {found['statuses']}; p99 meanwhile {found['p99_ms']:.1f} ms")
    return [Bar("swap.failed_requests", found["failed"] if found["swaps"] == SWAPS else None, "==", 0, n=found["asked"],
                note=note)], {}
