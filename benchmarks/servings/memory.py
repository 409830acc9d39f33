"""How long a bundle takes to load in a fresh process, and how much memory one more forked worker has of its own."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.bundle_requests import make_requests
from benchmarks.record import ROOT, Bar
from recsys_core.serving import Bundle

ROUNDS = 5
WORKERS = ("import json, sys; from pathlib import Path; from benchmarks.servings.memory import worker_mib; "
           "print(json.dumps(worker_mib(Path(sys.argv[1]))))")
LOAD = ("import sys, time; from recsys_core.serving import Bundle; start = time.perf_counter(); Bundle.load(sys.argv[1]); "
        "print(time.perf_counter() - start)")


def load_seconds(folder: Path) -> float:
    """One fresh process: hashing every file, reading, and what is imported on the way."""
    ran = subprocess.run([sys.executable, "-c", LOAD, folder], check=True, capture_output=True, text=True, cwd=ROOT)
    return float(ran.stdout)


def worker_mib(folder: Path) -> dict[str, Any]:
    """What the second of two forked workers holds alone after both answered 200 requests, and its share of all (PSS).

    Both are alive when they are looked at: a page of a file that both have read is one page, whoever read it first.
    """
    bundle = Bundle.load(folder)
    requests = make_requests(bundle)
    answer(bundle, requests[:20])  # as a service warms up before it forks
    gc.collect()
    gc.freeze()
    workers = [_fork(bundle, requests) for _ in range(2)]
    for said, _, _ in workers:
        os.read(said, 1)
    found = []
    for said, tell, _ in workers:
        os.write(tell, b"look")
        found.append(json.loads(os.read(said, 10_000)))
    for _, tell, child in workers:
        os.write(tell, b"end.")
        os.waitpid(child, 0)
    gc.unfreeze()
    return found[1]


def _fresh_worker_mib(folder: Path) -> dict[str, Any]:
    """`worker_mib` in a process of its own, as a service is: what earlier parts left on the heap would count as the worker's."""
    ran = subprocess.run([sys.executable, "-c", WORKERS, folder], check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _fork(bundle: Bundle, requests: list[dict[str, Any]]) -> tuple[int, int, int]:
    """A worker that answers, says so, tells its memory when told to, then ends: where it says, where it is told, its process."""
    reader, said = os.pipe()
    told, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer(bundle, requests)
        os.write(said, b".")
        os.read(told, 4)
        os.write(said, json.dumps(smaps()).encode())
        os.read(told, 4)
        os._exit(0)
    return reader, writer, child


def answer(bundle: Bundle, requests: list[dict[str, Any]]) -> None:
    for request in requests:
        (bundle.search if "query" in request else bundle.recommend)(**request, k=10)


def smaps() -> dict[str, float]:
    """MiB of this process: unique pages, proportional share, resident."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {"unique_mib": (kib["Private_Dirty"] + kib["Private_Clean"]) / 1024, "pss_mib": kib["Pss"] / 1024,
            "rss_mib": kib["Rss"] / 1024}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    load_seconds(folder)  # the files come from the page cache in every round
    seconds = sorted(load_seconds(folder) for _ in range(ROUNDS))
    workers = sorted((_fresh_worker_mib(folder) for _ in range(ROUNDS)), key=lambda row: row["unique_mib"])
    middle = ROUNDS // 2
    return [Bar("bundle.load_s", seconds[middle], "<=", 1, seconds[0], seconds[-1], ROUNDS, "fresh processes, warm page cache"),
            Bar("bundle.extra_worker_mib", workers[middle]["unique_mib"], "<=", 50, workers[0]["unique_mib"],
                workers[-1]["unique_mib"], ROUNDS, "what the second of two forked workers holds alone after 200 requests")
            ], {"One more worker": workers}
