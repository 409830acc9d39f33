"""What a request is answered with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from recsys_core.answering import Contribution, Relation


@dataclass(frozen=True)
class Recommendation:
    """One answered item.

    Args:
        item_id: the shop's id.
        score: a logit; its softmax over the catalogue is the probability of being taken next.
        reasons: named parts that add up to the score.
        segment: whose adapter took part, None: the base.
        fallback: what the request asked for and did not get, and what was ignored; None: nothing.
        contributions: what raises or lowers the score, largest first; they add up to it. Empty unless `explain`.
        sentence: why the item is there, for people; None unless `explain`.
        relation: what it is to the item that `similar` was asked of; None elsewhere, or where no rule tells.
    """

    item_id: str
    score: float
    reasons: dict[str, float]
    segment: str | None
    fallback: str | None
    contributions: list[Contribution] = field(default_factory=list)
    sentence: str | None = None
    relation: Relation | None = None


class Recommendations(list[Recommendation]):
    """A list of answers, best first, that says why it is short or empty.

    Args:
        answers: best first.
        fallback: as that of its items; an empty list always has one.
    """

    def __init__(self, answers: Iterable[Recommendation] = (), fallback: str | None = None) -> None:
        super().__init__(answers)
        self.fallback = fallback
