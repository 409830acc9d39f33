"""The tables of a bundle: catalogue, vectors, words, shelves, and what is known of shoppers under digests of their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.interactions import MAX_HISTORY, Catalogue, Interactions
from recsys_core.promotions import SHELF_COLUMNS
from recsys_core.retrieval import TextIndex, build_lexical
from recsys_core.schema import PSEUDO_DAY
from recsys_core.serving import ATTRIBUTES, HISTORIES, INDEX, ITEMS, SHELVES, USERS, VECTORS, Route
from recsys_core.shoppers import DIGEST, digest_users


def write_tables(folder: Path, catalogue: Catalogue, index_above: int | None) -> None:
    """Write the items with the vectors and the words of their texts.

    Args:
        folder: the bundle's.
        catalogue: what it answers with.
        index_above: distinct texts above which an index of the vectors is written, too; None: never.
    """
    from safetensors.numpy import save_file

    catalogue.items.write_parquet(folder / ITEMS)
    # float32: measured on 6,764 product texts, float16 reorders 1 in 100 lists of the ten nearest items, and then what
    # serves is no longer what was gated. Workers share one mapping of the file.
    save_file({"vectors": catalogue.vectors, "text_of_item": catalogue.text_of_item}, str(folder / VECTORS))
    build_lexical(catalogue.items, catalogue.text_of_item).save(folder)
    if index_above is not None and len(catalogue.vectors) > index_above and (index := TextIndex.build(catalogue.vectors)):
        index.save(folder / INDEX)


def write_attributes(folder: Path, items: pl.DataFrame, extracted: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Keep what was extracted of known items; nothing where nothing was.

    Args:
        folder: the bundle's; an older file is replaced.
        items: the catalogue's.
        extracted: `schema.ITEM_ATTRIBUTES`.

    Returns:
        column → how many values the shop gives and how many were extracted, and by which tasks.
    """
    kept = extracted.filter(pl.col("item_id").is_in(items["item_id"].to_list())).sort("attribute", "item_id")
    (folder / ATTRIBUTES).unlink(missing_ok=True)
    if kept.height:
        kept.write_parquet(folder / ATTRIBUTES)
    return {column: {"given": items[column].count() if column in items.columns else 0, "extracted": own.height,
                     "tasks": dict(sorted(own.select("task", "task_hash").unique().iter_rows()))}
            for (column,), own in kept.partition_by("attribute", as_dict=True, maintain_order=True).items()}


def write_shelves(folder: Path, catalogue: Catalogue, shelves: pl.DataFrame | None) -> dict[str, int]:
    """Keep the rows of known items; shelf → how many."""
    rows = pl.DataFrame(schema=SHELF_COLUMNS) if shelves is None else shelves.select(*SHELF_COLUMNS)
    kept = rows.filter(pl.col("item_id").is_in(catalogue.item_ids)).unique().sort(*SHELF_COLUMNS)
    kept.write_parquet(folder / SHELVES)
    return dict(sorted(kept["shelf"].value_counts().iter_rows()))


def write_users(folder: Path, routes: Sequence[Route], users: pl.DataFrame | None) -> None:
    """Write the attributes that a promoted segment's condition or family names; nothing where none does."""
    if users is None:
        return
    asked = " ".join(f"{route.asked} {route.by or ''}" for route in routes if route.decision == "promoted")
    columns = [c for c in users.columns if c != "user_id"
               and re.search(rf'\busers\.("{re.escape(c)}"|{re.escape(c)}\b)', asked, re.IGNORECASE)]
    if columns:
        digests = pl.DataFrame(digest_users(users["user_id"].to_list()), schema=DIGEST)
        users.select(columns).hstack(digests).sort(*DIGEST).write_parquet(folder / USERS)


def write_histories(folder: Path, events: Interactions | None) -> int:
    """Write each shopper's newest `MAX_HISTORY` events; nothing where there are none.

    A shop without times has its events in order on one pseudo-day: its histories keep the order and no times.

    Returns:
        of how many shoppers events are kept.
    """
    if events is None or not len(events):
        return 0
    from safetensors.numpy import save_file

    users, first, counts = np.unique(events.user, return_index=True, return_counts=True)
    digests = digest_users([events.user_ids[user] for user in users.tolist()])
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    kept = np.minimum(counts[order], MAX_HISTORY)
    starts = np.r_[0, np.cumsum(kept)].astype(np.int64)
    at = np.repeat((first + counts)[order] - kept - starts[:-1], kept) + np.arange(starts[-1])
    timed = (events.timestamp // 86_400 != np.datetime64(PSEUDO_DAY, "D").astype(np.int64)).any()
    save_file({"digests": digests[order], "starts": starts, "items": events.item[at].astype(np.int32),
               "types": events.event_type[at].astype(np.int8),
               "times": events.timestamp[at].astype(np.int64) if timed else np.zeros(0, np.int64)}, str(folder / HISTORIES))
    return len(users)
