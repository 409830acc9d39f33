"""The questions a segment is judged on: whose shots each one is about, and what is known of its shopper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys_core.adaptation import Study
from recsys_core.interactions import Audience, Queries, for_audience, take_queries


@dataclass(frozen=True)
class Questions:
    """n ranking questions, each about one member of a segment.

    Args:
        queries: n of them.
        member: int [n], a code as `Study.codes` gives them.
    """

    queries: Queries
    member: np.ndarray

    def __len__(self) -> int:
        return len(self.queries)

    def for_audience(self, audience: Audience) -> Queries:
        """The same with what a request of this audience knows: none, little, or full."""
        return for_audience(self.queries, audience)

    def few_of_each(self, most: int, rng: np.random.Generator) -> Questions:
        """At most so many random ones of each member."""
        order = np.lexsort((rng.random(len(self)), self.member))
        ordered = self.member[order]
        rows = np.sort(order[np.arange(len(self)) - np.searchsorted(ordered, ordered) < most])
        return Questions(take_queries(self.queries, rows), self.member[rows])


def ask(study: Study, name: str, start: int, end: int, most: int, rng: np.random.Generator) -> Questions:
    """A sample of the steps of [start, end) in which somebody took something in a segment or family."""
    queries = study.questions(name, start, end, most, rng)
    return Questions(queries, study.asked(name, queries))


def blocks(n: int, size: int) -> Iterator[slice]:
    """The rows of n questions in pieces of at most `size`."""
    return (slice(low, min(low + size, n)) for low in range(0, n, size))
