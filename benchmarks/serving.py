"""What leaves the chain, and how it is served: `make bench-serving`.

BUNDLE is the bundle that is asked (default: that of `make bench-chain`). Finished parts are kept below var/bench: an interrupted
run goes on. PARTS=student,hybrid measures only those; the bars of the others are written as not measured. Public data are looked
for in RECSYS_DATA (default ../shared/data); what search is compared with comes from `make bench-peers`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, Bar, Parts, show, versions, write_results
from benchmarks.servings import experiment, explain, feedback, http, hybrid, memory, recommend, student, swap, tamper
from recsys_core.errors import RecsysError

NAME = "serving"
BUNDLE = ROOT / "var" / "bench" / "chain" / "full" / "bundle"
Measured = tuple[list[Bar], dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Part:
    """One part of the benchmark.

    Args:
        measure: from the bundle's folder to bars and tables. goals: bar → comparison and goal, where it is not measured.
    """

    measure: Callable[[Path], Measured]
    goals: dict[str, tuple[str, float]]


PARTS = {
    "student": Part(student.measure, {
        "student.texts_per_s_over_teacher": (">=", 100), "student.ndcg_kept_esci": (">=", 0.95), "student.size_mb": ("<=", 10),
        "int8.texts_per_s_over_teacher": (">=", 3), "int8.ndcg_kept_esci": (">=", 0.995),
        "student.worst_segment_ndcg_kept": (">=", 0.9)}),
    "hybrid": Part(hybrid.measure, {
        "hybrid.qps_over_naive": (">=", 20), "hybrid.qps_over_engines": (">=", 1.5), "hybrid.p99_ms": ("<=", 2),
        "hybrid.recall@10_of_exact": (">=", 0.99)}),
    "recommend": Part(recommend.measure, {"serve.recommend_ms_p50_over_numpy_scan": ("<=", 3)}),
    "memory": Part(memory.measure, {"bundle.load_s": ("<=", 1), "bundle.extra_worker_mib": ("<=", 50)}),
    "explain": Part(explain.measure, {
        "explain.max_sum_error": ("<=", 1e-5), "explain.residual_share": ("<=", 0.05),
        "explain.deletion_agreement": (">=", 0.95)}),
    "http": Part(http.measure, {"http.p99_ms_at_half_load": ("<=", 10), "http.errors_in_100k": ("==", 0)}),
    "swap": Part(swap.measure, {"swap.failed_requests": ("==", 0)}),
    "feedback": Part(feedback.measure, {"feedback.next_list_changes": ("==", 1)}),
    "tamper": Part(tamper.measure, {"bundle.tampered_refused": ("==", 1)}),
    "experiment": Part(experiment.measure, {"experiment.false_positive_rate": ("<=", 0.05)}),
}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    folder = Path(os.environ.get("BUNDLE") or BUNDLE)
    if not (folder / "manifest.json").is_file():
        raise RecsysError("BUNDLE", f"there is no bundle at {folder}", "name one, or run make bench-chain")
    wanted = [name for name in os.environ.get("PARTS", "").split(",") if name]
    unknown = set(wanted) - set(PARTS)
    if unknown:
        raise RecsysError("PARTS", f"{sorted(unknown)[0]!r} is no part", f"use some of {', '.join(PARTS)}")
    kept = Parts(ROOT / "var" / "bench" / NAME, [ROOT / "recsys_core", ROOT / "benchmarks"])
    bars: list[Bar] = []
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, part in PARTS.items():
        if wanted and name not in wanted:
            bars += [Bar(bar, None, *goal, note="not measured: PARTS left it out") for bar, goal in part.goals.items()]
            continue
        found = kept.get(name, lambda part=part: _measured(part, folder))
        bars += [Bar(**one) for one in found["bars"]]
        tables |= found["tables"]
    print(show(write_results(NAME, bars, seed=0, settings={"threads": 1, "parts": wanted or list(PARTS)}, tables=tables,
                             peers=versions(["numpy", "onnxruntime", "tokenizers", "fastapi", "uvicorn", "model-signing"]))))


def _measured(part: Part, folder: Path) -> dict[str, Any]:
    bars, tables = part.measure(folder)
    return {"bars": [{name: value for name, value in bar.to_json().items() if name != "holds"} for bar in bars], "tables": tables}


if __name__ == "__main__":
    main()
