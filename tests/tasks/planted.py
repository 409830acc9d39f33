"""Planted tasks: an encoder that knows synonyms, and labels that words alone, or meaning alone, cannot tell.

- Classes: every text wants one of three things and says so by a word that no other text has; the encoder knows what it means.
- Spans: every material is a word of its own, told by the words before it.
- Match: an item answers if it means the same (no word is shared) and has the same size (which means nothing).
"""

from __future__ import annotations

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.schema import LABELS
from recsys_core.words import tokenize

DIM = 256  # so many that two words are far from each other
NOUNS = ["mug", "lamp", "rug", "bench", "train", "bowl"]
WANTS = ("buy", "return", "track")


def said(concept: str, n: int) -> str:
    """The n-th word for a concept; no letters are shared."""
    return "".join("bcdfghklmnpqrtvz"[int(letter, 16)] for letter in hashlib.sha256(f"{concept}{n}".encode()).hexdigest()[:7])


CONCEPTS = {said(concept, n): concept for concept in (*WANTS, *NOUNS) for n in range(60)}


class PlantedEncoder:
    """Sums of a random vector per concept, or per word that stands for none."""

    dim = DIM

    def __init__(self, model: str = "m" * 64, tokenizer: str = "t" * 64) -> None:
        self.fingerprint = {"weights": model, "tokenizer": tokenizer, "dim": DIM}
        self.read = 0  # texts so far

    @classmethod
    def load(cls, folder: Path, verified: bool = False) -> PlantedEncoder:
        return cls()

    def encode(self, texts: list[str]) -> np.ndarray:
        self.read += len(texts)
        rows = [sum((_vector(word) for word in tokenize(text)), np.full(DIM, 1e-3)) for text in texts]
        found = np.array(rows, np.float64).reshape(len(rows), DIM)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _vector(word: str) -> np.ndarray:
    word = f"the concept {CONCEPTS[word]}" if word in CONCEPTS else word
    return np.random.default_rng(int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)).normal(size=DIM)


def class_rows(each: int = 24, shuffled: bool = False) -> list[dict]:
    """`each` texts of every want."""
    rows = [{"text": f"{said(want, n)} {NOUNS[n % 6]} now", "label": want} for want in WANTS for n in range(each)]
    if shuffled:
        order = np.random.default_rng(0).permutation(len(rows))
        rows = [{**row, "label": rows[at]["label"]} for row, at in zip(rows, order, strict=True)]
    return rows


def span_rows(n: int = 36) -> list[dict]:
    """Materials that no other text has."""
    return [{"text": f"{NOUNS[at % 6]} made of {said('material', at)} for the {NOUNS[(at + 1) % 6]}", "label": "material",
             "span": said("material", at)} for at in range(n)]


def match_rows(queries: int = 24) -> list[dict]:
    """Per query items that mean the same or not, in the same size or not."""
    rows = []
    for at in range(queries):
        noun, size = NOUNS[at % 6], f"{11 + at}oz"
        for same, fits, n in product((True, False), (True, False), range(2)):
            word = said(noun if same else NOUNS[(at + 1 + n) % 6], 20 + 2 * at % 40 + n)
            rows.append({"query": f"{said(noun, at % 20)} {size}", "text": f"{word} {size if fits else f'{40 + at + n}oz'}",
                         "label": {(True, True): "2", (True, False): "1"}.get((same, fits), "0")})
    return rows


ROWS = {"classes": class_rows, "spans": span_rows, "match": match_rows}


def table(*tasks: tuple[str, list[dict]]) -> pl.DataFrame:
    """Labels as ingestion leaves them."""
    rows = [{**dict.fromkeys(LABELS), **row, "task": name} for name, own in tasks for row in own]
    return pl.DataFrame(rows, schema=LABELS, orient="row")


def no_items() -> pl.DataFrame:
    return pl.DataFrame(schema={"item_id": pl.String, "text": pl.String})
