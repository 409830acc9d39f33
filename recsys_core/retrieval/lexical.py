"""Lexical search: BM25F over the documents of a catalogue, as posting lists that a query only adds up.

Scoring: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.6: a word's counts in
all fields are weighed and shortened by each field's length, then saturate once; with the non-negative idf of Lucene. Title and
brand count once more, each on its own: what an item is and who makes it is not made up for by a long description. Each score is
divided by the best this query could reach, so that it lies in [0, 1) and is comparable between queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.artefacts import map_arrays, read_json, write_json
from recsys_core.retrieval.analysis import analyse, with_joins
from recsys_core.retrieval.fields import Documents, Values, make_documents
from recsys_core.retrieval.spelling import MOST_LETTERS, Reading, Term, read_terms
from recsys_core.words import UNSEGMENTED

K1, B = 1.2, 0.75
WEIGHTS = {"title": 5.0, "brand": 3.0}  # how often a word there counts; any other column: once
ALONE = ("title", "brand")  # columns that count once more, each on its own
SEARCHED = "lexical.json"
POSTINGS = "lexical.safetensors"
VOCABULARY = "vocabulary.parquet"


@dataclass(frozen=True)
class LexicalIndex:
    """Posting lists in token order.

    Args:
        token_row: the place of each token in `starts`.
        starts: int64 [T+1].
        places: int32 [postings], rows of documents, ascending within a token.
        weights: float32 [postings].
        bound: float32 [T], the most a token can add to any document.
        documents: which items have them.
        lengths: float64 [C], the mean tokens of the columns, of the documents it was built from.
    """

    token_row: dict[str, int]
    starts: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    bound: np.ndarray
    documents: Documents
    lengths: np.ndarray

    def read(self, query: str) -> Reading:
        """The query's words as this index knows them, mistyped ones corrected."""
        return read_terms(query, self)

    def postings(self, row: int) -> slice:
        """Where a token's documents and weights lie."""
        return slice(int(self.starts[row]), int(self.starts[row + 1]))

    def frequency(self, row: int) -> int:
        """How many documents have a token."""
        return int(self.starts[row + 1] - self.starts[row])

    @cached_property
    def letters(self) -> str:
        """The letters of the vocabulary, most frequent first; those that edits may bring. Chinese characters are none."""
        counts = Counter(UNSEGMENTED.sub("", "".join(token for token in self.token_row if token.isalpha())))
        return "".join(letter for letter, _ in counts.most_common(MOST_LETTERS))

    @cached_property
    def rarest(self) -> np.float32:
        """What a word that no document has could add."""
        return np.float32(self.bound.max(initial=np.float32(K1 + 1)))

    def scores(self, terms: Sequence[Term]) -> np.ndarray | None:
        """float32 [D] in [0, 1); None where no term is known."""
        if not any(term.tokens for term in terms):
            return None
        total = np.zeros(len(self.documents.texts), np.float32)
        tokens = sorted((token for term in terms for token in term.tokens), key=lambda token: -self.frequency(token[0]))
        for place, (row, share) in enumerate(tokens):
            at = self.postings(row)
            weights = self.weights[at] if share == 1 else np.float32(share) * self.weights[at]
            if place == 0:  # the longest list meets only zeros: writing takes half as long as adding
                total[self.places[at]] = weights
            else:
                total[self.places[at]] += weights
        total /= np.float32(self.reachable(terms))
        return total

    def reachable(self, terms: Sequence[Term]) -> float:
        """The most that terms add up to; a word no document has counts as the rarest: a match of one word in five is weak."""
        known = sum(share * float(self.bound[row]) for term in terms for row, share in term.tokens)
        return known + sum(term.missing for term in terms) * float(self.rarest)

    def with_items(self, rows: Mapping[int, tuple[int, Mapping[str, object]]], before: pl.DataFrame, size: int) -> LexicalIndex:
        """The same with the words of new items and of items whose words changed; another price changes none.

        Args:
            rows: row of the item → the row of its text and its columns.
            before: the items so far.
            size: how many items there are now.
        """
        documents, said = self.documents, dict[int, Values]()
        for row, (text, item) in rows.items():
            values = documents.values(item)
            if row >= before.height or documents.texts[documents.of_item[row]] != text \
                    or values != documents.values(before.row(row, named=True)):
                said[row] = values
        if not said:
            return self
        return self.grown(documents.grown(list(said), [rows[row][0] for row in said], size), list(said.values()))

    def grown(self, documents: Documents, values: Sequence[Values]) -> LexicalIndex:
        """The same with the last documents' values added, weighed as if they had not changed how rare a word is.

        A new word is the rarest. The next nightly index counts them as all others.
        """
        token_row, bound, found = dict(self.token_row), list(self.bound), []
        for place, row in enumerate(values, len(documents.texts) - len(values)):
            for token, share in self.shares(row, {text: with_joins(analyse(text), token_row) for text in row if text}).items():
                at = token_row.setdefault(token, len(token_row))
                if at == len(bound):
                    bound.append(self.rarest)
                found.append((at, place, bound[at] * share))
        found.sort()  # every word's postings stay together, documents ascending
        rows, places, weights = (np.array([one[part] for one in found]) for part in range(3)) if found else [np.zeros(0)] * 3
        starts = np.concatenate([self.starts, np.full(len(bound) - len(self.bound), self.starts[-1])])
        ends = starts[rows.astype(np.int64) + 1]
        added = np.bincount(rows.astype(np.int64), minlength=len(bound))
        return LexicalIndex(token_row, (starts + np.r_[0, np.cumsum(added)]).astype(np.int64),
                            np.insert(self.places, ends, places.astype(np.int32)),
                            np.insert(self.weights, ends, weights.astype(np.float32)), np.array(bound, np.float32), documents,
                            self.lengths)

    def shares(self, values: Values, analysed: Mapping[str, list[str]]) -> dict[str, float]:
        """Share of its bound that each token of a document reaches, in (0, 1), given the tokens of its values."""
        counts: tuple[dict[str, float], ...] = ({}, *({} for _ in ALONE))
        for name, text, mean in zip(self.documents.columns, values, self.lengths.tolist(), strict=True):
            tokens = analysed[text] if text else ()
            each = 1 / (1 - B + B * len(tokens) / mean if mean else 1.0)
            fields = [(counts[0], each * WEIGHTS.get(name, 1.0))]
            if name in ALONE:
                fields.append((counts[1 + ALONE.index(name)], each))
            for field, weight in fields:
                for token in tokens:
                    field[token] = field.get(token, 0.0) + weight
        return {token: sum(count / (count + K1) for field in counts if (count := field.get(token, 0.0))) / len(counts)
                for token in counts[0]}

    def save(self, folder: Path) -> None:
        """Write lexical.safetensors, lexical.json and vocabulary.parquet."""
        from safetensors.numpy import save_file

        save_file({"starts": self.starts, "places": self.places, "weights": self.weights, "bound": self.bound,
                   "of_item": self.documents.of_item, "texts": self.documents.texts, "lengths": self.lengths},
                  str(folder / POSTINGS))
        write_json(folder / SEARCHED, {"columns": list(self.documents.columns)})
        pl.DataFrame({"token": list(self.token_row)}, schema={"token": pl.String}).write_parquet(folder / VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote."""
        arrays = map_arrays(folder / POSTINGS)
        tokens = pl.read_parquet(folder / VOCABULARY, glob=False)["token"].to_list()
        documents = Documents(tuple(read_json(folder / SEARCHED)["columns"]), arrays["of_item"], arrays["texts"])
        return cls({token: row for row, token in enumerate(tokens)}, arrays["starts"], arrays["places"], arrays["weights"],
                   arrays["bound"], documents, arrays["lengths"])


def build_lexical(items: pl.DataFrame, text_of_item: np.ndarray) -> LexicalIndex:
    """Index the text columns of a catalogue.

    Args:
        items: see `make_documents`.
        text_of_item: int32 [N].
    """
    documents, values = make_documents(items, text_of_item)
    analysed: dict[str, list[str]] = {text: [] for row in values for text in row if text}
    for text in analysed:
        analysed[text] = analyse(text)
    plain = {token for tokens in analysed.values() for token in tokens}
    for text, tokens in analysed.items():
        analysed[text] = with_joins(tokens, plain)
    sizes = [[len(analysed[row[at] or ""]) for row in values if row[at]] for at in range(len(documents.columns))]
    empty = LexicalIndex({}, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32),
                         documents, np.array([np.mean(lengths) if lengths else 0.0 for lengths in sizes], np.float64))
    counted = [empty.shares(row, analysed) for row in values]
    vocabulary = {token: at for at, token in enumerate(sorted(plain))}
    rows = np.array([vocabulary[token] for found in counted for token in found], np.int64)
    places = np.repeat(np.arange(len(counted)), [len(found) for found in counted])
    order = np.lexsort((places, rows))
    shares = np.array([share for found in counted for share in found.values()], np.float64)[order]
    rows, places = rows[order], places[order]
    frequency = np.bincount(rows, minlength=len(vocabulary))
    bound = np.log1p((len(values) - frequency + 0.5) / (frequency + 0.5)) * (K1 + 1)
    return replace(empty, token_row=vocabulary, starts=np.r_[0, np.cumsum(frequency)].astype(np.int64),
                   places=places.astype(np.int32), weights=(bound[rows] * shares).astype(np.float32),
                   bound=bound.astype(np.float32))
