"""The query's side of a search score: meaning, words, popularity and the shopper's own taste.

Every part is a logit, so they add up with an adapter's offsets as they do without a query.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.errors import RequestError
from recsys_core.retrieval.ann import TextIndex
from recsys_core.retrieval.lexical import LexicalIndex

MAX_QUERY = 512
TASTE_LIMIT = 5.0  # standard deviations; one favourite must not drown the query


class SearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Weights of the parts, in logits."""

    text: float = Field(20.0, ge=0, description="per unit of cosine between query and item; 0 leaves meaning out")
    words: float = Field(15.0, ge=0, description="for the best lexical match any text could be")
    popularity: float = Field(0.2, ge=0, description="per unit of log popularity share")
    taste: float = Field(0.5, ge=0, description="per standard deviation of the shopper's ranking score")


class EncodesQueries(Protocol):
    """What search needs of the student."""

    def encode(self, texts: list[str]) -> np.ndarray: ...


def clean_query(query: str) -> str:
    """The query normalised (NFKC, one space between words, no control characters).

    Raises:
        RequestError: not text, empty, or longer than 512 characters.

    >>> clean_query("  blue\\tmug\\n")
    'blue mug'
    """
    if not isinstance(query, str):
        raise RequestError("query", f"{type(query).__name__} is no text", "send the query as text")
    if len(query) > MAX_QUERY:
        raise RequestError("query", f"has {len(query)} characters", f"send at most {MAX_QUERY}")
    text = unicodedata.normalize("NFKC", query)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    text = " ".join(text.split())
    if not text:
        raise RequestError("query", "is empty", "send at least one word")
    return text


@dataclass(frozen=True)
class Narrowing:
    """How a query looks at a shortlist of texts only.

    Args:
        index: of the texts' vectors.
        standing: float32 [M], the most that stands for an item of each text; −inf: none may be answered.
        k: how many items will be answered.
    """

    index: TextIndex
    standing: np.ndarray
    k: int


@dataclass(frozen=True)
class QueryParts:
    """What a query says of texts.

    Args:
        parts: named logits, float32 [m].
        texts: int64 [m], ascending: which texts; None: all of them.
        note: a phrase where no word of the query is in the catalogue.
    """

    parts: dict[str, np.ndarray]
    texts: np.ndarray | None
    note: str | None


def query_parts(query: str, vectors: np.ndarray, encoder: EncodesQueries | None, lexical: LexicalIndex,
                config: SearchConfig, narrowing: Narrowing | None = None) -> QueryParts:
    """Score texts for a clean query.

    Args:
        query: see `clean_query`.
        vectors: float32 [M, d], of the texts.
        encoder: None leaves meaning out, where it cannot read the shop's script.
        lexical: of the same texts.
        config: the parts' weights.
        narrowing: None scores every text.
    """
    words, meaning, texts = lexical.scores(query), None, None
    if words is not None:
        words *= np.float32(config.words)
    if encoder is not None:
        meaning = np.float32(config.text) * encoder.encode([query])[0]
    if narrowing is not None and meaning is not None:
        known = narrowing.standing if words is None else words + narrowing.standing
        texts = narrowing.index.shortlist(meaning, known, narrowing.k)
    parts = {}
    if meaning is not None:
        parts["text"] = (vectors if texts is None else vectors.take(texts, 0)) @ meaning
    if words is not None:
        parts["words"] = words if texts is None else words[texts]
    left = "by meaning" if encoder is not None else "without it"
    return QueryParts(parts, texts, None if words is not None else f"no word of the query is in the catalogue: ranked {left}")


def taste_part(scores: np.ndarray, config: SearchConfig) -> np.ndarray:
    """The shopper's ranking scores float32 [N], brought to a search's scale: standardised and clipped."""
    spread = float(scores.std())
    standard = (scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores)
    return (config.taste * np.clip(standard, -TASTE_LIMIT, TASTE_LIMIT)).astype(np.float32)
