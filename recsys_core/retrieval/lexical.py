"""Lexical search: BM25 over the distinct item texts, as posting lists that a query only adds up.

Scoring: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009),
with the non-negative idf of Lucene. Each score is divided by the best this query could reach, so
that it lies in [0, 1) and is comparable between queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.artefacts import map_arrays
from recsys_core.words import tokenize

K1, B = 1.5, 0.75


@dataclass(frozen=True)
class LexicalIndex:
    """Posting lists in token order.

    Args:
        token_row: the place of each token in `starts`.
        starts: int64 [T+1].
        texts: int32 [postings], rows of distinct texts.
        weights: float32 [postings].
        bound: float32 [T], the most a token can add to any text.
        n_texts: M.
    """

    token_row: dict[str, int]
    starts: np.ndarray
    texts: np.ndarray
    weights: np.ndarray
    bound: np.ndarray
    n_texts: int

    def scores(self, query: str) -> np.ndarray | None:
        """float32 [M] in [0, 1); None where no word of the query occurs in any text."""
        tokens = Counter(tokenize(query))
        known = [self.token_row[t] for t in tokens if t in self.token_row]
        if not known:
            return None
        total = np.zeros(self.n_texts, np.float32)
        for row in known:
            low, high = self.starts[row], self.starts[row + 1]
            total[self.texts[low:high]] += self.weights[low:high]
        # A word no text has still counts in the denominator, as the rarest word would: a match of
        # one word in five is a weak match.
        missing = len(tokens) - len(known)
        return total / (self.bound[known].sum() + missing * self.bound.max())

    def save(self, folder: Path) -> None:
        """Write lexical.safetensors and vocabulary.parquet."""
        from safetensors.numpy import save_file

        save_file({"starts": self.starts, "texts": self.texts, "weights": self.weights, "bound": self.bound,
                   "n_texts": np.array([self.n_texts], np.int64)}, str(folder / "lexical.safetensors"))
        pl.DataFrame({"token": list(self.token_row)}, schema={"token": pl.String}).write_parquet(
            folder / "vocabulary.parquet")

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote."""
        arrays = map_arrays(folder / "lexical.safetensors")
        tokens = pl.read_parquet(folder / "vocabulary.parquet", glob=False)["token"].to_list()
        return cls({token: row for row, token in enumerate(tokens)}, arrays["starts"], arrays["texts"],
                   arrays["weights"], arrays["bound"], int(arrays["n_texts"][0]))


def build_lexical(texts: Sequence[str]) -> LexicalIndex:
    """Index M distinct texts."""
    documents = [Counter(tokenize(text)) for text in texts]
    lengths = np.array([sum(d.values()) for d in documents], np.float64)
    vocabulary = {token: row for row, token in enumerate(sorted(set().union(*documents)))}
    rows = np.array([vocabulary[t] for d in documents for t in d], np.int64)
    text = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
    counts = np.array([c for d in documents for c in d.values()], np.float64)
    order = np.lexsort((text, rows))
    rows, text, counts = rows[order], text[order], counts[order]
    frequency = np.bincount(rows, minlength=len(vocabulary))
    idf = np.log1p((len(documents) - frequency + 0.5) / (frequency + 0.5))
    norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-9)) if len(documents) else lengths
    weights = (idf[rows] * counts * (K1 + 1) / (counts + norm[text])).astype(np.float32)
    return LexicalIndex(vocabulary, np.r_[0, np.cumsum(frequency)].astype(np.int64), text.astype(np.int32),
                        weights, (idf * (K1 + 1)).astype(np.float32), len(documents))
