"""Nights and their faults: `make bench-nightly`. PARTS as for `make bench-serving`; every part plants its own shop."""

from __future__ import annotations

from benchmarks.nights import faults, features, kills, light_steps, ray, replay
from benchmarks.parts import Part, run_parts

PARTS = {
    "features": Part(features.measure, {
        "features.rows_per_s_over_pandas": (">=", 8), "features.append_speedup": (">=", 50),
        "features.peak_gib_200m_events": ("<=", 6)}),
    "faults": Part(faults.measure, {"faults.covered": ("==", 25)}),
    "kills": Part(kills.measure, {"kills.converged_share": ("==", 1.0)}),
    "replay": Part(replay.measure, replay.GOALS),
    "steps": Part(light_steps.measure, light_steps.GOALS),
    "ray": Part(ray.measure, ray.GOALS),
}

if __name__ == "__main__":
    run_parts("nightly", PARTS, ["dagster", "duckdb", "mlflow", "numpy", "pandas", "polars"], bundle=None)
