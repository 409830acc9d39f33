"""The query's side of a search score: meaning, words, popularity and the shopper's own taste.

Every part is a logit, so they add up with an adapter's offsets as they do without a query.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Protocol

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.cleaning import normalise_one
from recsys_core.errors import RequestError
from recsys_core.retrieval.ann import TextIndex
from recsys_core.retrieval.lexical import LexicalIndex
from recsys_core.retrieval.spelling import Reading

MAX_QUERY = 512
UNLIKE = "nothing in the catalogue is like the query"
STRINGS, LENGTHS, ALPHABET = 400, (4, 13), 26  # random strings, their letters from … to below …, of the most frequent letters
STRANGERS_HEARD = 0.01  # share of them that may pass for a query
MOST_TEXTS = 50_000
TASTE_LIMIT = 5.0  # standard deviations; one favourite must not drown the query


class SearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Weights of the parts, in logits."""

    text: float = Field(20.0, ge=0, description="per unit of cosine between query and item; 0 leaves meaning out")
    words: float = Field(45.0, ge=0, description="for the best lexical match any text could be")
    least_meaning: float = Field(0.0, description="cosine with the nearest text below which a query without a known word is said "
                                                  "to be like nothing")
    popularity: float = Field(0.2, ge=0, description="per unit of log popularity share")
    taste: float = Field(0.5, ge=0, description="per standard deviation of the shopper's ranking score")


class EncodesQueries(Protocol):
    """What search needs of the student."""

    def encode(self, texts: list[str]) -> np.ndarray: ...


def clean_query(query: str) -> str:
    """The query normalised as texts are: NFKC, one space between words, no markup, no control or invisible characters.

    Raises:
        RequestError: not text, empty, or longer than 512 characters.

    >>> clean_query("  blue\\tmug\\n")
    'blue mug'
    """
    if not isinstance(query, str):
        raise RequestError("query", f"{type(query).__name__} is no text", "send the query as text")
    if len(query) > MAX_QUERY:
        raise RequestError("query", f"has {len(query)} characters", f"send at most {MAX_QUERY}")
    text = "".join(" " if unicodedata.category(c) == "Cs" else c for c in normalise_one(query) or "")
    text = " ".join(text.split())
    if not text:
        raise RequestError("query", "is empty", "send at least one word")
    return text


@dataclass(frozen=True)
class Narrowing:
    """How a query looks at a shortlist of texts only.

    Args:
        index: of the texts' vectors.
        standing: float32 [D], the most that stands for an item of each document; −inf: none may be answered.
        k: how many items will be answered.
    """

    index: TextIndex
    standing: np.ndarray
    k: int


@dataclass(frozen=True)
class QueryParts:
    """What a query says of documents.

    Args:
        parts: named logits, float32 [m].
        documents: int64 [m], ascending: which documents; None: all of them.
        scores: float32 [m], the sum of the parts.
        note: a phrase where words were corrected, or none is in the catalogue.
    """

    parts: dict[str, np.ndarray]
    documents: np.ndarray | None
    scores: np.ndarray
    note: str | None


def query_parts(query: str, vectors: np.ndarray, encoder: EncodesQueries | None, lexical: LexicalIndex,
                config: SearchConfig, narrowing: Narrowing | None = None) -> QueryParts:
    """Score documents for a clean query; meaning is read from the query as its mistyped words are corrected.

    Args:
        query: see `clean_query`.
        vectors: float32 [M, d], of the texts.
        encoder: None leaves meaning out, where it cannot read the shop's script.
        lexical: of documents that have these texts.
        config: the parts' weights.
        narrowing: None scores every document.
    """
    reading, documents = lexical.read(query), lexical.documents
    words, meaning, places = lexical.scores(reading.terms), None, None
    parts: dict[str, np.ndarray] = {}
    if words is not None:
        words *= np.float32(config.words)
    if encoder is not None:
        meaning = np.float32(config.text) * encoder.encode([reading.text])[0]
    if narrowing is not None and meaning is not None:
        known = narrowing.standing if words is None else words + narrowing.standing
        texts = narrowing.index.shortlist(meaning, documents.most_of_texts(known), narrowing.k)
        places = documents.of_texts(texts)
        parts["text"] = (vectors.take(texts, 0) @ meaning)[np.searchsorted(texts, documents.texts[places])]
    elif meaning is not None:
        parts["text"] = documents.spread(vectors @ meaning)
    if words is not None:
        parts["words"] = words if places is None else words[places]
    scores = np.zeros(len(documents.texts) if places is None else len(places), np.float32)
    for part in parts.values():
        scores += part
    return QueryParts(parts, places, scores, _note(reading, parts.get("text"), config))


def _note(reading: Reading, meaning: np.ndarray | None, config: SearchConfig) -> str | None:
    """What the answer is told: that nothing fits, that only meaning does, or how mistyped words were read."""
    if not reading.vouched and meaning is not None and meaning.max(initial=0) < config.text * config.least_meaning:
        return f"{UNLIKE}: ranked by what is least unlike it"
    if not any(term.tokens for term in reading.terms):
        return f"no word of the query is in the catalogue: ranked {'by meaning' if meaning is not None else 'without it'}"
    meant = [f"{word!r} as {other!r}" for word, other in reading.corrected.items()]
    return f"searched {', '.join(meant)}" if meant else None


def nonsense_floor(vectors: np.ndarray, encoder: EncodesQueries, lexical: LexicalIndex, rng: np.random.Generator) -> float:
    """`SearchConfig.least_meaning`: the cosine that few random strings of letters reach with their nearest text.

    Args:
        vectors: float32 [M, d], of the texts; so many are looked at that it takes seconds.
        encoder: of the queries.
        lexical: whose letters they are made of; Latin ones where it has few.
        rng: draws them.
    """
    letters = list(dict.fromkeys(lexical.letters + ascii_lowercase))[:ALPHABET]
    if not len(vectors):
        return 0.0
    strings = ["".join(rng.choice(letters, rng.integers(*LENGTHS))) for _ in range(STRINGS)]
    looked_at = vectors if len(vectors) <= MOST_TEXTS else vectors[rng.choice(len(vectors), MOST_TEXTS, replace=False)]
    nearest = [float((looked_at @ encoder.encode([text])[0]).max()) for text in strings]
    return float(np.quantile(nearest, 1 - STRANGERS_HEARD))


def log_shares(popularity: np.ndarray) -> np.ndarray:
    """float32 [N]: log share of all events, smoothed by half an event each, least popular at 0."""
    logs = np.log(popularity.astype(np.float64) + 0.5)
    return (logs - logs.min()).astype(np.float32)


def taste_part(scores: np.ndarray, config: SearchConfig) -> np.ndarray:
    """The shopper's ranking scores float32 [N], brought to a search's scale: standardised and clipped."""
    spread = float(scores.std())
    standard = (scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores)
    return (config.taste * np.clip(standard, -TASTE_LIMIT, TASTE_LIMIT)).astype(np.float32)
