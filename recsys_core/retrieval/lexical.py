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
        mean_length: of the texts it was built from, in tokens.
    """

    token_row: dict[str, int]
    starts: np.ndarray
    texts: np.ndarray
    weights: np.ndarray
    bound: np.ndarray
    n_texts: int
    mean_length: float

    def scores(self, query: str) -> np.ndarray | None:
        """float32 [M] in [0, 1); None where no word of the query occurs in any text."""
        tokens = Counter(tokenize(query))
        known = [self.token_row[t] for t in tokens if t in self.token_row]
        if not known:
            return None
        known.sort(key=lambda row: int(self.starts[row] - self.starts[row + 1]))
        total = np.zeros(self.n_texts, np.float32)
        for place, row in enumerate(known):
            low, high = self.starts[row], self.starts[row + 1]
            if place == 0:  # the longest list meets only zeros: writing takes half as long as adding
                total[self.texts[low:high]] = self.weights[low:high]
            else:
                total[self.texts[low:high]] += self.weights[low:high]
        # A word no text has still counts in the denominator, as the rarest word would: a match of
        # one word in five is a weak match.
        missing = len(tokens) - len(known)
        total /= self.bound[known].sum() + missing * self.bound.max()
        return total

    def grown(self, texts: Sequence[str]) -> LexicalIndex:
        """The same with more texts at its end, weighed as if they had not changed how rare a word is; a new word is the rarest.

        The next nightly index counts them as all others.
        """
        rarest = np.float32(self.bound.max(initial=np.float32(K1 + 1)))
        token_row, bound, found = dict(self.token_row), list(self.bound), []
        for at, text in enumerate(texts, self.n_texts):
            counts = Counter(tokenize(text))
            norm = K1 * (1 - B + B * sum(counts.values()) / max(self.mean_length, 1e-9))
            for token, count in counts.items():
                row = token_row.setdefault(token, len(token_row))
                if row == len(bound):
                    bound.append(rarest)
                found.append((row, at, bound[row] * count / (count + norm)))
        found.sort()  # every word's postings stay together, texts ascending
        rows, places, weights = (np.array([one[part] for one in found]) for part in range(3)) if found else [np.zeros(0)] * 3
        starts = np.concatenate([self.starts, np.full(len(bound) - len(self.bound), self.starts[-1])])
        ends = starts[rows.astype(np.int64) + 1]
        added = np.bincount(rows.astype(np.int64), minlength=len(bound))
        return LexicalIndex(token_row, (starts + np.r_[0, np.cumsum(added)]).astype(np.int64),
                            np.insert(self.texts, ends, places.astype(np.int32)),
                            np.insert(self.weights, ends, weights.astype(np.float32)),
                            np.array(bound, np.float32), self.n_texts + len(texts), self.mean_length)

    def save(self, folder: Path) -> None:
        """Write lexical.safetensors and vocabulary.parquet."""
        from safetensors.numpy import save_file

        save_file({"starts": self.starts, "texts": self.texts, "weights": self.weights, "bound": self.bound,
                   "n_texts": np.array([self.n_texts], np.int64), "mean_length": np.array([self.mean_length])},
                  str(folder / "lexical.safetensors"))
        pl.DataFrame({"token": list(self.token_row)}, schema={"token": pl.String}).write_parquet(
            folder / "vocabulary.parquet")

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote."""
        arrays = map_arrays(folder / "lexical.safetensors")
        tokens = pl.read_parquet(folder / "vocabulary.parquet", glob=False)["token"].to_list()
        return cls({token: row for row, token in enumerate(tokens)}, arrays["starts"], arrays["texts"],
                   arrays["weights"], arrays["bound"], int(arrays["n_texts"][0]), float(arrays["mean_length"][0]))


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
                        weights, (idf * (K1 + 1)).astype(np.float32), len(documents), float(lengths.mean()) if documents else 0.0)
