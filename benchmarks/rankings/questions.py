"""What the parts share: text vectors cached on disk, metrics of one ranker as a table row, and intervals over users."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.record import ROOT
from recsys_core.base_model import make_catalogue
from recsys_core.interactions import Catalogue, Histories
from recsys_core.metrics import Interval, paired_bootstrap, ranking_metrics
from recsys_core.text_encoder import EncoderConfig, VectorCache, load_encoder

PLACE = ROOT / "var" / "bench"
METRICS = ("hr@10", "ndcg@10")


def frozen_catalogue(items: pl.DataFrame) -> Catalogue:
    """Clean items with the packaged encoder's vectors, as they come."""
    return make_catalogue(items, load_encoder(EncoderConfig()), VectorCache(PLACE / "vectors"))


def order_only_histories(histories: list[list[int]]) -> Histories:
    """Histories of catalogue rows, oldest first, one step each, a second apart."""
    lengths = np.array([len(history) for history in histories])
    indptr = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    items = np.array([item for history in histories for item in history], np.int32)
    ago = (np.repeat(indptr[1:], lengths) - 1 - np.arange(len(items))).astype(np.float32)
    return Histories(indptr, items, ago, ((ago + 1) / 86_400).astype(np.float32), np.zeros(len(items), np.int8))


def measure(scores: np.ndarray, targets: np.ndarray, users: np.ndarray,
            seen: Histories | None = None) -> dict[str, Interval]:
    """HR@10 and NDCG@10 of one target per row, full ranking, ties at their expected rank, drawn by user.

    Args:
        scores: float [n, N]. targets: int [n]. users: [n]. seen: histories whose items are not offered.
    """
    exclude = None if seen is None else (seen.indptr, seen.items)
    found = ranking_metrics(scores, np.arange(len(targets) + 1), targets, exclude=exclude)
    return {name: paired_bootstrap(found[name], users, np.random.default_rng(0)) for name in METRICS}


def table_row(system: str, fitted_on: str, found: dict[str, Interval]) -> dict[str, object]:
    """One line of a table."""
    row: dict[str, object] = {"system": system, "fitted on": fitted_on}
    for name, interval in found.items():
        row |= {name: interval.mean, f"{name} low": interval.low, f"{name} high": interval.high}
    return row
