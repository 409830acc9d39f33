"""A shopper in a few figures that a person can read; no event, no id, no attribute is in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, TypedDict

import numpy as np

from recsys_core.interactions import Catalogue

MOST_GROUPS = 5
QUARTILES = (0.25, 0.5, 0.75)


class Profile(TypedDict):
    """What a history says of its shopper.

    Attributes:
        events: how many are known.
        steps: how many steps (baskets, clicks) they make.
        categories: [{"value", "share"}], the five largest first levels, shares of the events whose category is known.
        brands: the same for brands.
        price: {"quartiles": 25, 50 and 75% of the taken prices, "catalogue_rank": the share of the catalogue that costs
            less than the median}; None where no price is known.
        days_between_steps: the median; None where steps have no times, or are fewer than two.
        repeat_share: events of items taken before over all events.
        newest_day: the newest step's, ISO 8601; None where unknown.
    """

    events: int
    steps: int
    categories: list[dict[str, Any]]
    brands: list[dict[str, Any]]
    price: dict[str, Any] | None
    days_between_steps: float | None
    repeat_share: float
    newest_day: str | None


def make_profile(catalogue: Catalogue, prices: np.ndarray, items: np.ndarray, steps_ago: np.ndarray, days_ago: np.ndarray | None,
                 newest: date | None) -> Profile:
    """Sum up one history.

    Args:
        catalogue: N items.
        prices: float [N], NaN where unknown.
        items: int [L], catalogue rows, oldest first.
        steps_ago: float [L], 0 for the newest step.
        days_ago: float [L]; None where the history has no times.
        newest: the local day of the newest step.
    """
    levels = {name: (codes, values) for name, codes, values in catalogue.groups}
    return {
        "events": len(items), "steps": len(np.unique(steps_ago)),
        "categories": _largest(levels.get("category_1"), items), "brands": _largest(levels.get("brand"), items),
        "price": _price_band(prices, items), "days_between_steps": _cadence(steps_ago, days_ago),
        "repeat_share": 1.0 - len(np.unique(items)) / len(items) if len(items) else 0.0,
        "newest_day": newest.isoformat() if newest else None}


def _largest(level: tuple[np.ndarray, Sequence[str]] | None, items: np.ndarray) -> list[dict[str, Any]]:
    if level is None:
        return []
    codes = level[0][items]
    counts = np.bincount(codes[codes >= 0], minlength=len(level[1]))
    order = np.argsort(-counts, kind="stable")[:MOST_GROUPS]
    return [{"value": level[1][code], "share": float(counts[code] / counts.sum())} for code in order.tolist() if counts[code]]


def _price_band(prices: np.ndarray, items: np.ndarray) -> dict[str, Any] | None:
    taken, offered = prices[items], prices[np.isfinite(prices)]
    taken = taken[np.isfinite(taken)]
    if not len(taken):
        return None
    quartiles = [float(value) for value in np.quantile(taken, QUARTILES)]
    return {"quartiles": quartiles, "catalogue_rank": float((offered < quartiles[1]).mean())}


def _cadence(steps_ago: np.ndarray, days_ago: np.ndarray | None) -> float | None:
    if days_ago is None:
        return None
    _, first = np.unique(steps_ago, return_index=True)
    return float(np.median(np.diff(days_ago[first]))) if len(first) > 1 else None
