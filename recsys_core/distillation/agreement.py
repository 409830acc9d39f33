"""How well a student stands in for its teacher: it must point where the teacher points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 10


@dataclass(frozen=True)
class Probe:
    """Texts no student trained on, with what the teacher makes of them.

    Args:
        texts: n held-out texts.
        vectors: float32 [n, d], the teacher's vectors of them.
        documents: float32 [m, d], the teacher's vectors of what is searched.
    """

    texts: list[str]
    vectors: np.ndarray
    documents: np.ndarray

    def measure(self, vectors: np.ndarray) -> dict[str, float]:
        """Compare a student's vectors float32 [n, d] with the teacher's.

        Returns:
            cosine: mean cosine to the teacher's vector, −1–1. recall@10: share of the teacher's ten nearest
            documents that are among the student's ten nearest, 0–1.

        >>> documents = np.eye(20, dtype=np.float32)
        >>> probe = Probe(["a"], documents[:1] + 0.1, documents)
        >>> probe.measure(documents[:1] + 0.1)["recall@10"]
        1.0
        """
        near = min(NEIGHBOURS, len(self.documents))
        wanted, found = (np.argsort(-(queries @ self.documents.T), axis=1, kind="stable")[:, :near]
                         for queries in (self.vectors, vectors))
        recall = np.mean([np.isin(left, right).mean() for left, right in zip(wanted, found, strict=True)])
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(self.vectors, axis=1)
        cosine = ((vectors * self.vectors).sum(1) / lengths).mean()
        return {"cosine": float(cosine), f"recall@{NEIGHBOURS}": float(recall)}
