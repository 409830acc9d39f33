"""What a request adds to the logit of every item, whatever its history or its query says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys_core.retrieval.matches import Grouping, Standing


@dataclass(frozen=True)
class Scaled:
    """A weight times values that others weigh otherwise: float32 [N], multiplied where it is read."""

    values: np.ndarray
    weight: float = 1.0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.float32(self.weight) * self.values[rows]


class Offsets(dict[str, Scaled]):
    """Named logits of one bundle's items: an adapter's, as far as it is trusted, and the promotions'.

    Requests that ask alike share one; nobody writes to it.
    """

    def __init__(self, named: Mapping[str, Scaled]) -> None:
        super().__init__(named)
        self._standing: Standing | None = None

    @cached_property
    def total(self) -> np.ndarray | None:
        """Their sum, float32 [N]; None: there are none."""
        total: np.ndarray | None = None
        for part in self.values():
            if part.weight:
                values = np.float32(part.weight) * part.values
                total = values if total is None else np.add(total, values, out=total)
        return total

    def standing(self, popularity: np.ndarray, items_of: Grouping) -> Standing:
        """These beside the search's part of popularity, float32 [N]; summed for the first query, kept for the next."""
        found = self._standing
        if found is None:
            total = popularity if self.total is None else popularity + self.total
            found = self._standing = Standing.of(total, items_of)
        return found


def scaled(logits: Mapping[str, np.ndarray], weight: float = 1.0) -> dict[str, Scaled]:
    """Named logits times a weight."""
    return {name: Scaled(part, weight) for name, part in logits.items()}
