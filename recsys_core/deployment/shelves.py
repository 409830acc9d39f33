"""The shelves a bundle ships: the shop's own, and its new arrivals."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from recsys_core.interactions import Catalogue, Interactions
from recsys_core.promotions import NEW_ARRIVALS, SHELF_COLUMNS

NEW_DAYS = 28  # local days, the first sale's included, that an item is a new arrival


def make_shelves(own: pl.DataFrame | None, events: Interactions, catalogue: Catalogue, time_zone: str) -> pl.DataFrame:
    """The shop's shelves with the new arrivals among them; a shop's own shelf of that name wins.

    Args:
        own: `schema.RAW_SHELVES`; None where the shop has none.
    """
    own = pl.DataFrame(schema=SHELF_COLUMNS) if own is None else own.select(*SHELF_COLUMNS)
    return own if NEW_ARRIVALS in own["shelf"] else pl.concat([own, new_arrivals(events, catalogue, time_zone)])


def new_arrivals(events: Interactions, catalogue: Catalogue, time_zone: str) -> pl.DataFrame:
    """The items first sold in the `NEW_DAYS` up to the newest day, each for its first `NEW_DAYS`.

    An item of the log's own first `NEW_DAYS` may have been sold long before the log begins, so it is not new.
    """
    empty = pl.DataFrame(schema=SHELF_COLUMNS)
    if not len(events):
        return empty
    first = np.full(len(catalogue), np.iinfo(np.int64).max)
    np.minimum.at(first, events.item, events.timestamp)
    sold = np.flatnonzero(first < np.iinfo(np.int64).max)
    moments = pl.from_epoch(pl.Series(np.r_[first[sold], events.timestamp.max()]), "s")
    days = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone).dt.date()
    newest, opening = days[-1], days.sort()[0]
    since = max(newest - timedelta(days=NEW_DAYS - 1), opening + timedelta(days=NEW_DAYS))
    ids = [catalogue.item_ids[row] for row in sold.tolist()]
    rows = pl.DataFrame({"item_id": ids, "first_day": days[:-1]}).filter(pl.col("first_day") >= since)
    return rows.select(pl.lit(NEW_ARRIVALS).alias("shelf"), "item_id", "first_day",
                       (pl.col("first_day") + timedelta(days=NEW_DAYS - 1)).alias("last_day"))
