"""A full `recommend` with reasons over the whole catalogue beside one scan of as many vectors, in turns on one thread."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundle_requests import make_requests
from benchmarks.record import Bar
from recsys_core.serving import Bundle

WIDTH, ROUNDS = 384, 5


def one_round(bundle: Bundle, requests: list[dict[str, Any]], vectors: np.ndarray) -> dict[str, Any]:
    """Milliseconds of lists and of scans, asked in turns."""
    lists, scans = [], []
    for at, request in enumerate(requests):
        start = time.perf_counter()
        bundle.recommend(**request, k=10)
        lists.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        vectors @ vectors[at]
        scans.append(1000 * (time.perf_counter() - start))
    return {"items": len(bundle.catalogue), "recommend_p50_ms": float(np.median(lists)),
            "recommend_p99_ms": float(np.quantile(lists, 0.99)), "scan_p50_ms": float(np.median(scans)),
            "ratio": float(np.median(lists) / np.median(scans))}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    bundle = Bundle.load(folder)
    requests = [request for request in make_requests(bundle) if "query" not in request]
    vectors = np.random.default_rng(0).normal(size=(len(bundle.catalogue), WIDTH)).astype(np.float32)
    one_round(bundle, requests, vectors)  # warm
    rows = [one_round(bundle, requests, vectors) for _ in range(ROUNDS)]
    ratios = sorted(row["ratio"] for row in rows)
    return [Bar("serve.recommend_ms_p50_over_numpy_scan", ratios[ROUNDS // 2], "<=", 3, ratios[0], ratios[-1], ROUNDS,
                f"{len(bundle.catalogue):,} items; histories of 0 to 60 with stores, shelves, segments; {ROUNDS} rounds")
            ], {"recommend": rows}
