"""Hashes of every table that a shop loads as: `python -m benchmarks.doors.hashes SHOP …` prints them as JSON.

It runs on any commit of the project that has `open_shop` and `clean_days`, so that two commits can be compared. A shop
is a folder; an empty name is the embedded one.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator

import polars as pl

from recsys_core.cleaning import CleaningConfig, clean_days, clean_items
from recsys_core.ingestion import open_shop


def table_hash(frames: Iterator[pl.DataFrame]) -> str:
    """SHA-256 over schema and values of frames that make one table, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(repr(sorted(frame.schema.items(), key=str)).encode())
        digest.update(frame.select(sorted(frame.columns)).write_csv(null_value="\x00").encode())
    return digest.hexdigest()[:20]


def shop_hashes(name: str) -> dict[str, str | float]:
    """Table → hash of the shop in folder `name`, raw and clean, and `seconds` that reading the events took."""
    shop = open_shop(name)
    started = time.perf_counter()
    drops = list(shop.events())
    seconds = time.perf_counter() - started
    items, users, shelves = shop.items(), shop.users(), shop.shelves()
    clean = clean_items(items)
    config = CleaningConfig(time_zone=shop.config.time_zone, lateness_days=shop.config.lateness_days,
                            order_only=shop.config.order_only)
    raw = {drop.day.isoformat(): drop.events.lazy() for drop in drops}
    cleaned = [result for _, result in clean_days(raw, sorted(raw), clean["item_id"], config)]
    return {
        "raw_events": table_hash(drop.events for drop in drops), "rejects": table_hash(drop.rejects for drop in drops),
        "raw_items": table_hash(iter([items])), "raw_users": "none" if users is None else table_hash(iter([users])),
        "raw_shelves": "none" if shelves is None else table_hash(iter([shelves])),
        "clean_items": table_hash(iter([clean])), "clean_events": table_hash(result.events for result in cleaned),
        "quarantined_events": table_hash(result.quarantined for result in cleaned),
        "rows": float(sum(drop.events.height for drop in drops)), "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps({name: shop_hashes(name) for name in sys.argv[1:]}))
