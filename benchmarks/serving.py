"""What leaves the chain, and how it is served: `make bench-serving`.

BUNDLE is the bundle that is asked (default: that of `make bench-chain`). Finished parts are kept below var/bench: an interrupted
run goes on. PARTS=student,hybrid measures only those; the bars of the others are written as not measured. Public data are looked
for in RECSYS_DATA (default ../shared/data); what search is compared with comes from `make bench-peers`.
"""

from __future__ import annotations

from benchmarks.parts import Part, run_parts
from benchmarks.servings import experiment, explain, feedback, http, hybrid, memory, recommend, student, swap, tamper

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


if __name__ == "__main__":
    run_parts("serving", PARTS, ["numpy", "onnxruntime", "tokenizers", "fastapi", "uvicorn", "model-signing"])
