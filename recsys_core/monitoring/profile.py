"""What an answer looks like in numbers, and the histograms of them that a bundle was judged with.

The reference is made from the requests of the report window, answered by the bundle itself. Its bins are quantiles of all of
them, fixed for the bundle's life, so that observations are counts in the same bins and counts of many workers add up.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json
from recsys_core.errors import BundleError
from recsys_core.serving import MANIFEST, REFERENCE, Bundle, Recommendation

FORMAT = 1
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
        self._row_of = bundle.catalogue.row_of
        self._rank = np.empty(len(bundle.popularity), np.int32)
        self._rank[np.argsort(-bundle.popularity, kind="stable")] = np.arange(len(self._rank))
        self._price = bundle.catalogue.items["price"].to_numpy()

    def numbers(self, answers: Sequence[Recommendation], known: int) -> dict[str, float]:
        """The features of one answer by name; NaN where it has none.

        Args:
            answers: best first. known: events of the history that was sent.
        """
        row = self._row_of.get(answers[0].item_id, -1) if answers else -1
        rank, price = (float(self._rank[row]), float(self._price[row])) if row >= 0 else (math.nan, math.nan)
        return {"top_score": answers[0].score if answers else math.nan,
                "margin": answers[0].score - answers[1].score if len(answers) > 1 else math.nan,
                "history": float(known), "popularity_rank": rank, "price": price}


def make_reference(bundle: Bundle, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ask a bundle every request and keep the histograms of its answers.

    Args:
        bundle: what will be served.
        requests: arguments of `Bundle.recommend`, each with its history. Those that name a segment count for it alone: they
            are asked so that a rare one has enough.

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
    usual = np.array([request.get("segment") in (None, "auto") for request in requests], bool)
    edges = {name: quantile_edges(values[name][usual]) for name in FEATURES}
    names = sorted({ALL, BASE, *segments, *(n for n, one in bundle.segments.items() if one["decision"] == "promoted")})
    reference = Reference("", edges, names, {})
    counts = empty_counts(reference)
    for at, (segment, fallback, request) in enumerate(zip(segments, fell_back, requests, strict=True)):
        if usual[at] or segment == request["segment"]:  # a segment that did not serve says nothing of itself
            add_answer(counts, reference, segment, {name: values[name][at] for name in FEATURES}, fallback, bool(usual[at]))
    return {"format": FORMAT, "edges": {name: list(map(float, found)) for name, found in edges.items()}, "segments": names,
            "counts": to_json(counts)}


def quantile_edges(values: np.ndarray) -> np.ndarray:
    """The inner edges of at most `BINS` bins with about equally many of the values [n]; NaN are left out.

    >>> quantile_edges(np.arange(100.0)).round(1).tolist()[:3]
    [9.9, 19.8, 29.7]
    """
    known = values[np.isfinite(values)]
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)


def empty_counts(reference: Reference) -> Counts:
    """Zeros for every segment and feature; the shares of segments are counted for all requests only."""
    sizes = {name: len(found) + 2 for name, found in reference.edges.items()} | {FALLBACK: 2}
    counts = {segment: {name: np.zeros(size, np.int64) for name, size in sizes.items()} for segment in reference.segments}
    counts[ALL][SEGMENT] = np.zeros(len(reference.segments), np.int64)
    return counts


def add_answer(counts: Counts, reference: Reference, segment: str, numbers: Mapping[str, float], fallback: bool,
               everywhere: bool = True) -> None:
    """Count one answer, in place, for its segment and (`everywhere`) for all requests."""
    for name in {ALL, segment} if everywhere else {segment}:
        if name not in counts:
            continue
        for feature, found in reference.edges.items():
            value = numbers[feature]
            place = int(np.searchsorted(found, value, side="right")) if math.isfinite(value) else len(found) + 1
            counts[name][feature][place] += 1
        counts[name][FALLBACK][int(fallback)] += 1
    if everywhere and segment in reference.segments:
        counts[ALL][SEGMENT][reference.segments.index(segment)] += 1


def to_json(counts: Counts) -> dict[str, dict[str, list[int]]]:
    """Counts as lists."""
    return {segment: {name: found.tolist() for name, found in features.items()} for segment, features in counts.items()}


@dataclass(frozen=True)
class Reference:
    """What the answers of one bundle are compared with.

    Args:
        name: of the bundle: the beginning of the SHA-256 of its files' hashes.
        edges: inner edges of the bins, by feature.
        segments: "all", "base" and the promoted ones.
        counts: as `make_reference` counted them.
    """

    name: str
    edges: dict[str, np.ndarray]
    segments: list[str]
    counts: Counts

    @classmethod
    def of(cls, manifest: Mapping[str, Any], reference: Mapping[str, Any]) -> Reference:
        """The reference of a manifest and the content of reference.json.

        Raises:
            BundleError: it has another format.
        """
        if reference.get("format") != FORMAT:
            raise BundleError(REFERENCE, f"has format {reference.get('format')}, this version reads {FORMAT}",
                              "publish the bundle again")
        files = json.dumps(manifest["files"], sort_keys=True)
        return cls(hashlib.sha256(files.encode()).hexdigest()[:16],
                   {name: np.array(found, np.float64) for name, found in reference["edges"].items()}, list(reference["segments"]),
                   {segment: {name: np.array(found, np.int64) for name, found in features.items()}
                    for segment, features in reference["counts"].items()})

    @classmethod
    def read(cls, folder: Path) -> Reference:
        """The reference of a bundle's folder; raises as `of`."""
        return cls.of(read_json(Path(folder) / MANIFEST), read_json(Path(folder) / REFERENCE))
