"""Adapting in memory: to one shopper's clicks, or to the first sales of a page."""

from __future__ import annotations

import logging

import numpy as np

from recsys_core.adaptation import PAGE_STRENGTHS, Adapter, ClosedFormConfig, Support, adapt_closed_form, page_adapter
from recsys_core.serving.files import BundleParts

log = logging.getLogger(__name__)

REQUEST = "request"  # the segment name of an adapter made for one request
# A shopper's first clicks come from one or two visits, so they agree more than that many independent shots.
REQUEST_CONFIG = ClosedFormConfig(group_priors=(16.0, 64.0, 256.0))


def adapt_to_clicks(parts: BundleParts, taken: np.ndarray) -> Adapter:
    """Tilt groups and texts towards what one shopper took: int32 [K], catalogue rows."""
    if not len(taken):
        return _no_adapter(parts, "no known item has a positive label")
    # Every event is left out by itself when the strength is chosen: it is one shopper's history.
    return adapt_closed_form(parts.prior, {REQUEST: Support(taken, np.arange(len(taken)))}, REQUEST_CONFIG)[REQUEST]


def adapt_to_page(parts: BundleParts, page: list[str], taken: np.ndarray) -> Adapter:
    """Order the items of a page by what was taken on it: int32 [K], catalogue rows."""
    row_of = parts.catalogue.row_of
    rows = np.array([row_of[item] for item in page if item in row_of], np.int32)
    if len(rows) < len(page):
        unknown = [item for item in page if item not in row_of]
        log.warning("adapt: %d items of the page are unknown and ignored (%s)", len(unknown), ", ".join(unknown[:3]))
    if not len(rows) or len(taken) < min(PAGE_STRENGTHS):
        return _no_adapter(parts, f"a page needs {min(PAGE_STRENGTHS)} known items with a positive label"
                           if len(rows) else "no item of the page is known")
    return page_adapter(parts.catalogue, dict(parts.manifest["lock"]), rows, taken)


def _no_adapter(parts: BundleParts, reason: str) -> Adapter:
    log.warning("adapt: %s, the base serves", reason)
    theta = np.zeros(parts.catalogue.vectors.shape[1], np.float32)
    return Adapter(REQUEST, "none", dict(parts.manifest["lock"]), theta, settings={"reason": reason})
