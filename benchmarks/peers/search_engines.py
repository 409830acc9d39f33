"""Two hybrid searches as an engineer would put them together, timed query by query; run in the peers' environment.

`python search_engines.py FOLDER naive|engines`: FOLDER holds catalogue.json (the items' texts) and arrays.npz (float32 vectors
[N, d], standing [N]: popularity and the segment's head). Every line on standard input is a query as JSON (text, and for the
engines its vector, whose making the caller times); every line out the milliseconds and the rows of the ten best.

naive: sentence-transformers encodes, NumPy scans all vectors, bm25s scores all texts.
engines: tantivy finds 100 texts, hnswlib 100 vectors; what either found is scored by both and by what stands.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

K, FOUND = 10, 100
TEXT, WORDS = 20.0, 45.0  # recsys_core.retrieval.SearchConfig


def naive(texts: list[str], vectors: np.ndarray, standing: np.ndarray, model: str) -> Callable[[dict], np.ndarray]:
    import bm25s
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    teacher = SentenceTransformer(model, device="cpu")
    lexical = bm25s.BM25()
    lexical.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)

    def search(query: dict) -> np.ndarray:
        meaning = vectors @ teacher.encode(query["text"], normalize_embeddings=True, show_progress_bar=False)
        tokens = bm25s.tokenize([query["text"]], return_ids=False, show_progress=False)[0]
        known = [token for token in tokens if token in lexical.vocab_dict]
        words = lexical.get_scores(known) if known else np.zeros(len(texts), np.float32)
        scores = np.float32(TEXT) * meaning + words * np.float32(WORDS / max(words.max(), 1e-9)) + standing
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]
    return search


def engines(texts: list[str], vectors: np.ndarray, standing: np.ndarray, model: str) -> Callable[[dict], np.ndarray]:
    import hnswlib
    import tantivy

    schema = tantivy.SchemaBuilder().add_text_field("text", stored=False).add_integer_field("row", stored=True, fast=True).build()
    index = tantivy.Index(schema)
    writer = index.writer(heap_size=200_000_000, num_threads=1)
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=text, row=row))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    # A graph of many equal vectors falls apart: each distinct one is a node, which stands for its best item.
    distinct, node = np.unique(vectors, axis=0, return_inverse=True)
    best, rising = np.zeros(len(distinct), np.int64), np.argsort(standing)
    best[node.ravel()[rising]] = rising
    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(distinct), ef_construction=200, M=16, random_seed=0)
    graph.add_items(distinct, num_threads=-1)
    graph.set_ef(2 * FOUND)
    graph.set_num_threads(1)

    def search(query: dict) -> np.ndarray:
        plain = "".join(c if c.isalnum() else " " for c in query["text"].lower())  # AND, OR and NOT are operators
        parsed = index.parse_query(plain, ["text"])
        words = {searcher.doc(address)["row"][0]: score for score, address in searcher.search(parsed, FOUND, count=False).hits}
        vector = query["vector"]
        near, _ = graph.knn_query(vector, k=FOUND, num_threads=1)
        rows = np.array(list(dict.fromkeys([*words, *best[near[0]].tolist()])))
        most = max(words.values(), default=1.0)
        lexical = np.array([words.get(row, 0.0) for row in rows.tolist()], np.float32)
        scores = np.float32(TEXT) * (vectors[rows] @ vector) + np.float32(WORDS / most) * lexical + standing[rows]
        return rows[np.argsort(-scores)[:K]]
    return search


def main(folder: str, kind: str) -> None:
    about = json.loads(Path(folder, "catalogue.json").read_text("utf-8"))
    arrays = np.load(Path(folder, "arrays.npz"))
    search = {"naive": naive, "engines": engines}[kind](about["texts"], arrays["vectors"], arrays["standing"], about["model"])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        query = json.loads(line)
        if "vector" in query:
            query["vector"] = np.array(query["vector"], np.float32)
        start = time.perf_counter()
        rows = search(query)
        print(json.dumps({"ms": 1000 * (time.perf_counter() - start), "rows": rows.tolist()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
