"""What a request adds to the logit of every item, whatever its history or its query says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys_core.retrieval.matches import Grouping, Standing


class Offsets(dict[str, np.ndarray]):
    """Named logits of one bundle's items, float32 [N] each: an adapter's, as far as it is trusted, and the promotions'.

    Requests that ask alike share one; nobody writes to it.
    """

    def __init__(self, named: Mapping[str, np.ndarray]) -> None:
        super().__init__(named)
        self._standing: Standing | None = None

    def standing(self, popularity: np.ndarray, items_of: Grouping) -> Standing:
        """These beside the search's part of popularity, float32 [N]; summed for the first query, kept for the next."""
        found = self._standing
        if found is None:
            total = popularity.copy()
            for part in self.values():
                total += part
            found = self._standing = Standing.of(total, items_of)
        return found


def scaled(logits: Mapping[str, np.ndarray], weight: float) -> dict[str, np.ndarray]:
    """Named logits times a weight; those of a weight of 1 are the same arrays."""
    return dict(logits) if weight == 1 else {name: np.float32(weight) * part for name, part in logits.items()}
