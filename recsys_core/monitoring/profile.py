"""What an answer looks like in numbers, and the histograms of them that a bundle was judged with.

The reference is made from the requests of the report window, answered by the bundle itself. Its bins are quantiles of all of
them, fixed for the bundle's life, so that observations are counts in the same bins and counts of many workers add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json
from recsys_core.errors import BundleError
from recsys_core.serving import Bundle, Recommendation

FORMAT = 1
REFERENCE = "reference.json"
ALL, BASE = "all", "base"  # every request; those that no segment's adapter took part in
FEATURES = ("top_score", "margin", "history", "popularity_rank", "price")
FALLBACK, SEGMENT = "fallback", "segment"  # shares, not quantities
BINS = 10
SHOWN = 10  # items of an answer that is profiled

Counts = dict[str, dict[str, np.ndarray]]  # segment → feature → int64 [bins + 1], the last for answers that have no such number


class Profiler:
    """Turns one answer into the numbers that are watched; holds what a bundle knows of its items.

    Args:
        bundle: whose answers they are.
    """

    def __init__(self, bundle: Bundle) -> None:
        rank = np.empty(len(bundle.popularity), np.int64)
        rank[np.argsort(-bundle.popularity, kind="stable")] = np.arange(len(rank))
        prices = bundle.catalogue.items["price"].to_list()
        self._of = {item: (float(rank[row]), math.nan if prices[row] is None else float(prices[row]))
                    for item, row in bundle.catalogue.row_of.items()}

    def numbers(self, answers: Sequence[Recommendation], known: int) -> dict[str, float]:
        """The features of one answer by name; NaN where it has none.

        Args:
            answers: best first. known: events of the history that was sent.
        """
        rank, price = self._of.get(answers[0].item_id, (math.nan, math.nan)) if answers else (math.nan, math.nan)
        return {"top_score": answers[0].score if answers else math.nan,
                "margin": answers[0].score - answers[1].score if len(answers) > 1 else math.nan,
                "history": float(known), "popularity_rank": rank, "price": price}


def make_reference(bundle: Bundle, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ask a bundle every request and keep the histograms of its answers.

    Args:
        bundle: what will be served.
        requests: arguments of `Bundle.recommend`, each with its history.

    Returns:
        the content of reference.json: edges by feature, and counts by segment and feature.
    """
    profiler = Profiler(bundle)
    rows, segments, fell_back = [], [], []
    for request in requests:
        answers = bundle.recommend(**{"k": SHOWN, **request})
        rows.append(profiler.numbers(answers, len(request["history"])))
        segments.append(answers[0].segment or BASE if answers else BASE)
        fell_back.append(bool(answers.fallback))
    values = {name: np.array([row[name] for row in rows], np.float64) for name in FEATURES}
    edges = {name: quantile_edges(values[name]) for name in FEATURES}
    names = sorted({ALL, BASE, *segments, *(n for n, one in bundle.segments.items() if one["decision"] == "promoted")})
    counts = empty_counts(edges, names)
    for at, (segment, fallback) in enumerate(zip(segments, fell_back, strict=True)):
        add_answer(counts, edges, names, segment, {name: values[name][at] for name in FEATURES}, fallback)
    return {"format": FORMAT, "edges": {name: list(map(float, found)) for name, found in edges.items()}, "segments": names,
            "counts": to_json(counts)}


def quantile_edges(values: np.ndarray) -> np.ndarray:
    """The inner edges of at most `BINS` bins with about equally many of the values [n]; NaN are left out.

    >>> quantile_edges(np.arange(100.0)).round(1).tolist()[:3]
    [9.9, 19.8, 29.7]
    """
    known = values[np.isfinite(values)]
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)


def empty_counts(edges: Mapping[str, Sequence[float] | np.ndarray], segments: Sequence[str]) -> Counts:
    """Zeros for every segment and feature; the shares of segments are counted for all requests only."""
    sizes = {name: len(found) + 2 for name, found in edges.items()} | {FALLBACK: 2}
    counts = {segment: {name: np.zeros(size, np.int64) for name, size in sizes.items()} for segment in segments}
    counts[ALL][SEGMENT] = np.zeros(len(segments), np.int64)
    return counts


def add_answer(counts: Counts, edges: Mapping[str, Sequence[float] | np.ndarray], segments: Sequence[str], segment: str,
               numbers: Mapping[str, float], fallback: bool) -> None:
    """Count one answer, in place, for all requests and for its segment."""
    for name in {ALL, segment}:
        if name not in counts:
            continue
        for feature, found in edges.items():
            value = numbers[feature]
            place = int(np.searchsorted(found, value, side="right")) if math.isfinite(value) else len(found) + 1
            counts[name][feature][place] += 1
        counts[name][FALLBACK][int(fallback)] += 1
    if segment in segments:
        counts[ALL][SEGMENT][segments.index(segment)] += 1


def to_json(counts: Counts) -> dict[str, dict[str, list[int]]]:
    """Counts as lists."""
    return {segment: {name: found.tolist() for name, found in features.items()} for segment, features in counts.items()}


def read_reference(folder: Path) -> dict[str, Any]:
    """The reference profile of a bundle's folder.

    Raises:
        BundleError: it has another format.
    """
    reference: dict[str, Any] = read_json(Path(folder) / REFERENCE)
    if reference.get("format") != FORMAT:
        raise BundleError(f"{folder}/{REFERENCE}", f"has format {reference.get('format')}, this version reads {FORMAT}",
                          "publish the bundle again")
    return reference
