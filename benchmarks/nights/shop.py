"""A generated shop of any size: clean day files, written day by day, so that their number is bounded by the disk only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.features import Inputs
from recsys_core.ingestion import SegmentSpec
from recsys_core.schema import CLEAN_EVENTS, CLEAN_ITEMS, IMPRESSION

OPENS = date(2024, 1, 1)
SHOWN, SLOTS = 6, 10  # events of a session: so many impressions, then what they led to
EVENTS_PER_USER, MOST_ITEMS = 50, 20_000
SEGMENTS = (SegmentSpec(name="department", kind="domain", where="items.department = 'd3'"),
            SegmentSpec(name="north", kind="custom", where="users.region = 'r1'"),
            SegmentSpec(name="new", kind="new_users", first_days=30))


@dataclass(frozen=True)
class GeneratedShop:
    """Events of a shop: sessions of six impressions, two clicks, a cart or a search, and mostly a purchase.

    Args:
        events: of all days.
        days: how many; all have as many events.
    """

    events: int
    days: int = 100

    @property
    def users(self) -> int:
        return self.events // EVENTS_PER_USER

    def inputs(self) -> Inputs:
        """Items, users and three segments."""
        items = pl.DataFrame({"item_id": [f"i{n:05d}" for n in range(MOST_ITEMS)], "title": "thing", "text": "thing",
                              "department": [f"d{n % 20}" for n in range(MOST_ITEMS)]})
        missing = [pl.lit(None, dtype).alias(name) for name, dtype in CLEAN_ITEMS.items() if name not in items.columns]
        users = pl.select(pl.format("u{}", pl.int_range(self.users)).alias("user_id"),
                          pl.format("r{}", pl.int_range(self.users) % 5).alias("region"))
        return Inputs(items.with_columns(missing), users, SEGMENTS)

    def write(self, folder: Path) -> dict[str, Path]:
        """Day → its file."""
        folder.mkdir(parents=True)
        found = {}
        for n in range(self.days):
            today = OPENS + timedelta(days=n)
            found[str(today)] = folder / f"{today}.parquet"
            self.day(n, today).write_parquet(found[str(today)], compression="zstd")
        return found

    def day(self, n: int, today: date) -> pl.DataFrame:
        """The events of one day, as cleaning writes them."""
        rng, sessions = np.random.default_rng(n), self.events // self.days // SLOTS
        users = np.sort(rng.integers(0, max(1, self.users * (n + self.days) // (2 * self.days)), sessions))
        items = (MOST_ITEMS * rng.random((sessions, SHOWN)) ** 3).astype(np.int64)
        midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
        begin = rng.integers(0, 80_000, sessions)
        row = np.arange(sessions * SLOTS)
        slot, session = row % SLOTS, row // SLOTS
        chance = rng.random(sessions)[session]
        wanted = np.array([0, 1, 2, 3, 4, 5, 0, 1, 0, 0])[slot]
        kinds = np.where(slot < SHOWN, 0, np.where(slot < 8, 1, np.where(slot == 8, np.where(chance < .5, 2, 3),
                                                                       np.where(chance < .8, 4, 5))))
        names = pl.Series(["impression", "click", "add_to_cart", "search", "purchase", "view"])
        search = kinds == 3
        frame = pl.DataFrame({
            "_user": users[session], "_session": session, "_item": items[session, wanted], "_row": row,
            "_seconds": begin[session] + np.where(slot < SHOWN, 0, 20 * slot), "event_type": names.gather(kinds),
            "position": np.where(slot < SHOWN, slot + 1, -1)})
        price = pl.when(pl.col("event_type") == "purchase")
        shown = pl.when(pl.col("event_type") == IMPRESSION)
        frame = frame.with_columns(
            pl.format("e{}-{}", pl.lit(n), pl.col("_row").cast(pl.String).str.zfill(9)).alias("event_id"),
            pl.format("u{}", "_user").alias("user_id"), pl.format("u{}-{}-{}", "_user", pl.lit(f"{today:%Y%m%d}"), "_session")
            .alias("session_id"), pl.when(~pl.Series(search)).then(pl.format("i{}", pl.col("_item").cast(pl.String).str.zfill(5)))
            .alias("item_id"), (pl.lit(midnight) + pl.duration(seconds="_seconds")).alias("timestamp"),
            price.then(pl.col("_item") % 997 / 10 + 0.5).alias("price"), price.then(pl.lit(1.0)).alias("quantity"),
            pl.when(pl.Series(search)).then(pl.lit("thing")).alias("query"), shown.then("position").alias("position"),
            shown.then(pl.lit(0.3)).alias("propensity"), pl.lit("generated").alias("source"), pl.lit(today).alias("day"))
        missing = [pl.lit(None, dtype).alias(name) for name, dtype in CLEAN_EVENTS.items() if name not in frame.columns]
        return frame.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in CLEAN_EVENTS.items()).sort(
            "user_id", "timestamp", "event_id")
