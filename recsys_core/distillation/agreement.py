"""How well a student stands in for its teacher, on queries cut from items that no student learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys_core.distillation.queries import Queries
from recsys_core.metrics import ranking_metrics

NEIGHBOURS = 10


@dataclass(frozen=True)
class Probe:
    """Queries no student trained on, with what the teacher makes of them.

    Args:
        queries: n held-out queries, each generated from its document.
        vectors: float32 [n, d], the teacher's vectors of them.
        documents: float32 [m, d], the teacher's vectors of what is searched.
    """

    queries: Queries
    vectors: np.ndarray
    documents: np.ndarray

    def measure(self, vectors: np.ndarray) -> dict[str, float]:
        """Compare a student's vectors float32 [n, d] with the teacher's.

        Returns:
            cosine: mean cosine to the teacher's vector, −1–1. recall@10: share of the teacher's ten nearest documents among
            the student's ten nearest, 0–1. ndcg@10: how high the query's own document ranks, ties at their expected
            rank, 0–1. kept: that over the teacher's.

        >>> documents = np.eye(20, dtype=np.float32)
        >>> probe = Probe(Queries(["a"], np.array([3])), documents[3:4] + 0.1, documents)
        >>> probe.measure(documents[3:4] + 0.2)["recall@10"]
        1.0
        """
        wanted, found = (queries @ self.documents.T for queries in (self.vectors, vectors))
        near = min(NEIGHBOURS, len(self.documents))
        tops = [np.argsort(-scores, axis=1, kind="stable")[:, :near] for scores in (wanted, found)]
        recall = np.mean([np.isin(left, right).mean() for left, right in zip(*tops, strict=True)])
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(self.vectors, axis=1)
        cosine = ((vectors * self.vectors).sum(1) / np.maximum(lengths, 1e-9)).mean()
        best, own = self._own_document(wanted), self._own_document(found)
        return {"cosine": float(cosine), f"recall@{NEIGHBOURS}": float(recall), f"ndcg@{NEIGHBOURS}": own,
                "kept": own / best if best > 0 else 1.0}

    def _own_document(self, scores: np.ndarray) -> float:
        known = np.flatnonzero(self.queries.document >= 0)
        if not len(known):
            return 0.0
        found = ranking_metrics(scores[known], np.arange(len(known) + 1), self.queries.document[known], NEIGHBOURS)
        return float(found[f"ndcg@{NEIGHBOURS}"].mean())
