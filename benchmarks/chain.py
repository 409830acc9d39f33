"""The whole chain, timed as a user runs it: `make bench-chain`.

Each command runs in a home of its own below var/bench/chain, from empty; minutes are wall time of the
whole command, peak memory the largest resident set of any of its processes. Run it on an idle machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.record import ROOT, Bar, show, versions, write_results
from recsys_core.artefacts import read_json
from recsys_core.evaluation import Results

PEERS = ("dagster", "mlflow", "torch", "transformers", "peft", "polars", "duckdb", "great-expectations")


def run_demo(home: Path, profile: str) -> float:
    """Run `make demo` into `home`; wall minutes."""
    environment = {**os.environ, "RECSYS_HOME": str(home), "PROFILE": profile}
    environment.pop("RECSYS_SHOP", None)
    start = time.perf_counter()
    subprocess.run(["make", "demo", f"PROFILE={profile}"], cwd=ROOT, env=environment, check=True)
    return (time.perf_counter() - start) / 60


def main() -> None:
    place = ROOT / "var" / "bench" / "chain"
    shutil.rmtree(place, ignore_errors=True)
    quick = run_demo(place / "quick", "quick")
    demo = run_demo(place / "full", "full")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    second = run_demo(place / "full", "full")
    results = Results.model_validate(read_json(place / "full" / "report" / "metrics.json"))
    gain = next(g.interval for g in results.gains if g.over == "personal_frequency" and g.slice == "all")
    bars = [
        Bar("chain.demo_minutes", round(demo, 2), "<=", 10, n=1, note="make demo from empty, after install"),
        Bar("chain.demo_peak_gib", round(peak, 2), "<=", 6, n=1, note="largest process of make demo and quick"),
        Bar("chain.quick_minutes", round(quick, 2), "<=", 3, n=1, note="make demo PROFILE=quick from empty"),
        Bar("chain.second_demo_minutes", round(second, 2), "<=", 2, n=1, note="make demo again, nothing new"),
        Bar("chain.gain_over_personal_frequency_low", gain.low, ">", 0, gain.low, gain.high, gain.clusters,
            f"NDCG@10 {gain.mean:+.4f} on the report window, 95% interval over shoppers"),
    ]
    path = write_results("chain", bars, seed=0, settings={"profile": "full"}, peers=versions(PEERS),
                         tables={"ranking": ranking_rows(results), "segments": segment_rows(results)})
    print(show(path))


def ranking_rows(results: Results) -> list[dict]:
    """One row per method: NDCG@10 of all, repeat and first-time targets, with intervals."""
    rows = []
    for method in results.methods:
        row: dict = {"method": method.method}
        for part in ("all", "repeat", "first_time"):
            interval = method.metrics.get(part, {}).get(results.metric)
            row[part] = f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]" if interval else "–"
        rows.append(row)
    return rows


def segment_rows(results: Results) -> list[dict]:
    """One row per segment: decision, gain on the report window, reason."""
    return [{"segment": s.name, "decision": s.decision, "method": s.method, "shots": s.shots,
             "gain": f"{s.gain.mean:+.4f} [{s.gain.low:+.4f}, {s.gain.high:+.4f}]" if s.gain else "–",
             "reason": s.reason} for s in results.segments]


if __name__ == "__main__":
    main()
