"""Adapting again without forgetting: start from the last adapter, replay some of its shots, bound what is lost.

The next adapter may move on from the segment's last one (`methods`); the cross-validation decides whether that pays. A
quarter of the new shots are kept from the last support set while they lie in the window. What the new adapter loses on
the last support set is measured, and bounded by mixing the last one in.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.adaptation.adapt import ContinualConfig, scaled
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.methods import BaseView, add_adapters
from recsys_core.artefacts import read_json
from recsys_core.base_model.data import Catalogue
from recsys_core.errors import AdapterError
from recsys_core.evaluation.windows import Window

log = logging.getLogger(__name__)

JUDGED, PLACEBO, SERVING = "judged", "placebo", "serving"

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the new adapter, tried until the bound holds; 0 is the last one itself


@dataclass(frozen=True)
class Last:
    """What a segment's artefact held when it was last made.

    Args:
        judged, serving: its adapters. rows: use ("judged", "serving") → rows of the interactions table behind them.
    """

    judged: Adapter
    serving: Adapter
    rows: dict[str, np.ndarray]


def load_last(place: Path, lock: dict[str, str], window: Window, table: pl.DataFrame) -> Last | None:
    """The last artefact of a segment: None where there is none, or none of this base, or not of an earlier window.

    Args:
        place: its folder. table: the interactions, whose event ids tell the rows.
    """
    if not (place / "segment.json").is_file() or not (place / JUDGED).is_dir():
        return None
    about = read_json(place / "segment.json")
    if not about["window"] or about["window"]["gate_start"] >= window.gate_start:
        return None
    try:
        judged = Adapter.load(place / JUDGED, lock)
        serving = Adapter.load(place / SERVING, lock) if (place / SERVING).is_dir() else judged
    except AdapterError as error:
        log.info("%s starts anew: %s", place.name, error)
        return None
    used = pl.read_parquet(place / "shots.parquet", columns=["use", "event_id"])
    known = table.select("event_id").with_row_index("row").join(used, on="event_id", how="inner")
    return Last(judged, serving, {use: known.filter(pl.col("use") == use)["row"].to_numpy().astype(np.int64)
                                  for use in (JUDGED, SERVING)})


def forgetting(last: Adapter, new: Adapter, items: np.ndarray, view: BaseView, catalogue: Catalogue) -> float:
    """What the last support set loses: its mean log-likelihood under the last adapter minus that under the new one, in nats.

    Args:
        items, view: int [K], the last support set's items, and the base there.
    """
    rows = np.arange(len(items))
    before, after = (view.gains(rows, items, adapter.offsets(catalogue).astype(np.float64)) for adapter in (last, new))
    return float((before - after).mean())


def bound_forgetting(last: Adapter, new: Adapter, items: np.ndarray, view: BaseView, catalogue: Catalogue,
                     config: ContinualConfig) -> Adapter:
    """The new adapter, with as much of the last one mixed in as the bound needs; its settings tell what is lost."""
    for share in SHARES:
        mixed = new if share == 1.0 else add_adapters(scaled(last, 1 - share, {}), scaled(new, share, {}))
        lost = forgetting(last, mixed, items, view, catalogue)
        if lost <= config.max_forgetting:
            break
    return replace(mixed, settings={**new.settings, "forgetting_nats": round(lost, 4), "share_of_new": share})
