"""Queries, labels and words: `make bench-language`.

BUNDLE, PARTS and RECSYS_DATA as for `make bench-serving`. SetFit and bm25s come from `make bench-peers`; the model that writes
descriptions needs the extra `words`, Chinese the extra `multilingual`.
"""

from __future__ import annotations

from benchmarks.languages import attributes, augmentation, chinese, esci, intents, words
from benchmarks.parts import Part, run_parts

PARTS = {
    "search": Part(esci.measure, {
        "esci.hybrid_minus_bm25_ndcg_low": (">", 0), "esci.hybrid_minus_zero_shot_ndcg_low": (">", 0),
        "esci.adapted_minus_hybrid_ndcg@256": (">", 0), "esci.typo_ndcg_kept": (">=", 0.92),
        "search.nonsense_flagged": (">=", 0.95), "search.real_flagged": ("<=", 0.02), "search.p99_ms_43k": ("<=", 5)}),
    "intents": Part(intents.measure, {
        "intents.accuracy_over_setfit@8": (">=", 1), "intents.setfit_time_over_ours": (">=", 100),
        "intents.accuracy_full": (">=", 0.98), "intents.unknown_refused": (">=", 0.7), "labels.active_over_random": (">", 1)}),
    "augmentation": Part(augmentation.measure, {}),
    "attributes": Part(attributes.measure, {"attributes.micro_f1_minus_tagger": (">=", -0.02)}),
    "chinese": Part(chinese.measure, {"chinese.search_hit1": (">=", 0.8)}),
    "words": Part(words.measure, {
        "words.ungrounded": ("==", 0), "words.untemplated_share": (">=", 0.7),
        "words.checker_recall_on_planted_lies": (">=", 0.98)}),
}

if __name__ == "__main__":
    run_parts("language", PARTS, ["numpy", "onnxruntime", "tokenizers", "torch", "transformers"])
