"""Click probability of shown items, shifted by whoever adapts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import TYPE_CODE
from recsys_core.serving.request import Request

if TYPE_CHECKING:
    from recsys_core.base_model import ClickModel


def click_odds(click: ClickModel, parts: BundleParts, request: Request, items: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """The click model's probability of each item, with the adapter's logits added to its log-odds.

    The logits are centred on log Σ_j share_j exp(offset_j), with share_j item j's share of all
    events: an adapter says *which* items are wanted, not that more are.

    Args:
        click: the bundle's click model.
        items: ids, n of them.
        rows: int64 [n], their catalogue rows, −1 where unknown.

    Returns:
        float64 [n], in [0, 1].
    """
    past = request.history
    taken = past.items[past.event_type == TYPE_CODE[click.outcome]]
    ids = parts.catalogue.item_ids
    p = click.predict(click.click_features(items, [ids[row] for row in taken]))
    total = request.offsets.total
    offsets = np.zeros(len(ids)) if total is None else total.astype(np.float64)
    counts = parts.popularity.astype(np.float64) + 0.5
    level = np.log(np.average(np.exp(offsets - offsets.max()), weights=counts)) + offsets.max()
    shift = np.where(rows >= 0, offsets[rows] - level, 0.0)
    return 1.0 / (1.0 + (1.0 - p) / p * np.exp(-shift))
