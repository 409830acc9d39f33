"""BM25 as its users would tune it: every combination of its settings scores all texts; run in the peers' environment.

`python best_bm25.py FOLDER`: FOLDER/asked.json holds texts and queries. It writes scores.npy, float32 [settings, queries, texts],
and settings.json.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import bm25s
import numpy as np
import Stemmer

K1, B = (0.9, 1.2, 1.5, 2.0), (0.4, 0.5, 0.75, 0.9)


def main(folder: Path) -> None:
    asked = json.loads((folder / "asked.json").read_text("utf-8"))
    settings, scores = [], []
    for stemmer, stopwords in itertools.product((None, "english"), (None, "en")):
        stem = Stemmer.Stemmer(stemmer) if stemmer else None
        texts = bm25s.tokenize(asked["texts"], stopwords=stopwords, stemmer=stem, show_progress=False)
        queries = bm25s.tokenize(asked["queries"], stopwords=stopwords, stemmer=stem, return_ids=False, show_progress=False)
        for k1, b in itertools.product(K1, B):
            index = bm25s.BM25(k1=k1, b=b)
            index.index(texts, show_progress=False)
            known = [[token for token in query if token in index.vocab_dict] for query in queries]
            scores.append([index.get_scores(query) if query else np.zeros(len(asked["texts"]), np.float32) for query in known])
            settings.append({"k1": k1, "b": b, "stemmer": stemmer, "stopwords": stopwords})
    np.save(folder / "scores.npy", np.array(scores, np.float32))
    (folder / "settings.json").write_text(json.dumps(settings), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
