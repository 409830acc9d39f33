"""Adapting in memory: to one shopper's clicks, or to the first sales of a page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_core.adaptation import PAGE_STRENGTHS, Adapter, ClosedFormConfig, Support, adapt_closed_form, page_adapter
from recsys_core.arguments import read_id, read_ids, read_list, read_number, show
from recsys_core.errors import RequestError
from recsys_core.serving.files import BundleParts

log = logging.getLogger(__name__)

REQUEST = "request"  # the segment name of an adapter made for one request
# A shopper's first clicks come from one or two visits, so they agree more than that many independent shots.
REQUEST_CONFIG = ClosedFormConfig(group_priors=(16.0, 64.0, 256.0))


def taken_rows(parts: BundleParts, support: Any) -> np.ndarray:
    """The known items of a support with a positive label: int32 [K], catalogue rows.

    Raises:
        RequestError: it is no list of rows, or a row is none, names no item_id, or has a label that is no number.
    """
    found, fix = [], "give rows with item_id and label (positive: taken)"
    for place, row in enumerate(read_list(support, "support", "rows with item_id and label")):
        where = f"support, row {place}"
        if not isinstance(row, Mapping):
            raise RequestError(where, f"{show(row)} is no row", fix)
        if "item_id" not in row:
            raise RequestError(where, f"names no item_id, but {show(list(row))}", fix)
        item = read_id(row["item_id"], where)
        label = read_number(row["label"], where, "give a number as label (positive: taken)") if "label" in row else 1.0
        if item in parts.catalogue.row_of and label > 0:
            found.append(parts.catalogue.row_of[item])
    return np.array(found, np.int32)


def adapt_to_clicks(parts: BundleParts, taken: np.ndarray) -> Adapter:
    """Tilt groups and texts towards what one shopper took: int32 [K], catalogue rows."""
    if not len(taken):
        return _no_adapter(parts, "no known item has a positive label")
    # Every event is left out by itself when the strength is chosen: it is one shopper's history.
    return adapt_closed_form(parts.prior, {REQUEST: Support(taken, np.arange(len(taken)))}, REQUEST_CONFIG)[REQUEST]


def adapt_to_page(parts: BundleParts, page: Any, taken: np.ndarray) -> Adapter:
    """Order the items of a page, a list of ids, by what was taken on it: int32 [K], catalogue rows.

    Raises:
        RequestError: the page is no list of ids.
    """
    row_of, ids = parts.catalogue.row_of, dict.fromkeys(str(item) for item in read_ids(page, "page", ordered=False))
    rows = np.array([row_of[item] for item in ids if item in row_of], np.int32)
    if len(rows) < len(ids):
        unknown = [item[:40] for item in ids if item not in row_of]
        log.warning("adapt: %d items of the page are unknown and ignored (%s)", len(unknown), ", ".join(unknown[:3]))
    if not len(rows) or len(taken) < min(PAGE_STRENGTHS):
        return _no_adapter(parts, f"a page needs {min(PAGE_STRENGTHS)} known items with a positive label"
                           if len(rows) else "no item of the page is known")
    return page_adapter(parts.catalogue, dict(parts.manifest["lock"]), rows, taken)


def _no_adapter(parts: BundleParts, reason: str) -> Adapter:
    log.warning("adapt: %s, the base serves", reason)
    theta = np.zeros(parts.catalogue.vectors.shape[1], np.float32)
    return Adapter(REQUEST, "none", dict(parts.manifest["lock"]), theta, settings={"reason": reason})
