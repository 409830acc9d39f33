"""Contributions: a score as a sum over sources that a person can name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

import numpy as np

from recsys_core.base_model import Attribution

Source = Literal["item", "history", "word", "popularity", "trend", "segment", "promotion", "rule", "rest"]
NAMED_ITEMS = 20  # past items that are named one by one; what all others bring is one line
LEAST = 1e-9  # logits below which nothing is said


class Contribution(TypedDict):
    """What one source adds to a score.

    Attributes:
        source: its kind. "item": a past item; "history": all past items beyond the first twenty; "rest": what no other
            source explains.
        name: the item's id, the word, the segment, the placement ("display": promoted there now, "usually display": how
            often it is), or the rule; "" where the kind says all.
        value: logits.
    """

    source: Source
    name: str
    value: float


def ranked_contributions(found: Attribution, item_ids: Sequence[str], factor: np.ndarray | None = None
                         ) -> list[list[Contribution]]:
    """The contributions to the ranker's score of k items.

    Args:
        found: of these items.
        item_ids: of the catalogue.
        factor: float64 [k], what every contribution is multiplied by; None: 1.
    """
    scale = np.ones(len(found.trend)) if factor is None else factor
    lines = []
    for row, times in enumerate(scale.tolist()):
        history = times * found.history[row]
        order = np.argsort(-np.abs(history), kind="stable")
        named, others = order[:NAMED_ITEMS], order[NAMED_ITEMS:]
        lines.append(tell([
            ("popularity", "", times * found.popularity[row]), ("trend", "", times * found.trend[row]),
            *(("item", item_ids[found.items[at]], history[at]) for at in named.tolist()),
            ("history", f"{len(others)} other items", history[others].sum())]))
    return lines


def tell(lines: Iterable[tuple[Source, str, float]]) -> list[Contribution]:
    """The contributions that are not 0."""
    return [{"source": source, "name": name, "value": float(value)} for source, name, value in lines if abs(value) > LEAST]


def offset_contributions(offsets: dict[str, np.ndarray], segment: str | None) -> list[list[Contribution]]:
    """The contributions of what is added to a base: a segment's adapter, promotions, rules.

    Args:
        offsets: name → logits [k]: segment_…, promoted_PLACEMENT and usually_PLACEMENT, rule:NAME.
        segment: whose adapter takes part.
    """
    totals: dict[tuple[Source, str], np.ndarray] = {}
    for name, values in offsets.items():
        key = _source(name, segment)
        totals[key] = totals.get(key, 0.0) + values.astype(np.float64)
    size = len(next(iter(offsets.values()), ()))
    return [tell((*key, values[row]) for key, values in totals.items()) for row in range(size)]


def _source(name: str, segment: str | None) -> tuple[Source, str]:
    if name.startswith("rule:"):
        return "rule", name.removeprefix("rule:")
    if name.startswith("segment"):
        return "segment", segment or ""
    return "promotion", name.removeprefix("promoted_").replace("usually_", "usually ")
