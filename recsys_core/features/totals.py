"""What is known before a drop: the totals of all earlier ones, merged in runs as in a log-structured merge tree.

Run (level, n) holds the drops from n·16^level on, 16^level of them: the sums of 16 runs of the level below. A night reads at most
15 runs per level, and each drop is merged once per level. A run is named by the hashes of what went into it. So a drop that is
made again leaves the runs before it as they are, and those that hold it are merged again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from recsys_core.artefacts import staged_file
from recsys_core.features.ledger import digest
from recsys_core.schema import Columns

FAN_OUT = 16
TOTALS: Columns = {  # of a shopper (no item), of an item (no shopper), of a shopper with an item
    "user_id": pl.String, "item_id": pl.String, "outcomes": pl.Int64, "impressions": pl.Int64, "conversions": pl.Int64,
    "positives": pl.Int64, "first_day": pl.Date,
}


class Totals:
    """The totals of drops 0, 1, … by their keys.

    Args:
        folder: where the partials `<day>-<key>.parquet` and the runs are.
        days: of the drops.
        keys: of the drops' partials.
    """

    def __init__(self, folder: Path, days: Sequence[str], keys: Sequence[str]) -> None:
        self.folder, self.days = folder, list(days)
        self.keys: list[list[str]] = [list(keys)]
        while len(self.keys[-1]) >= FAN_OUT:
            below = self.keys[-1]
            self.keys.append([digest(below[at:at + FAN_OUT]) for at in range(0, len(below) - FAN_OUT + 1, FAN_OUT)])
        chain = [""]
        for key in keys:
            chain.append(digest(chain[-1], key))
        self.chain = chain  # of everything before drop n

    def name(self, level: int, n: int) -> str:
        """The file name of a run; of level 0, of a drop's partial."""
        first = self.days[n * FAN_OUT ** level]
        return f"{first}-{self.keys[level][n]}.parquet" if level == 0 else \
            f"{first}+{FAN_OUT ** level}-{self.keys[level][n]}.parquet"

    def names(self) -> set[str]:
        """Of all partials and runs that these drops may have."""
        return {self.name(level, n) for level, keys in enumerate(self.keys) for n in range(len(keys))}

    def before(self, drop: int, users: pl.Series | None, items: pl.Series | None) -> pl.DataFrame:
        """Totals of the drops before one, several rows per key where several runs have it.

        Args:
            drop: its position.
            users: those to look up, distinct; None for every shopper.
            items: those to look up, distinct; None leaves out every row with an item.
        """
        paths = [self._run(level, n) for level, n in self._blocks(drop)]
        if not paths:
            return pl.DataFrame(schema=TOTALS)
        rows = pl.scan_parquet(paths, glob=False)
        user, item = pl.col("user_id"), pl.col("item_id")
        wanted_item = item.is_null() if items is None else item.is_null() | item.is_in(items.implode())
        wanted_user = pl.lit(True) if users is None else user.is_null() | user.is_in(users.implode())
        return rows.filter(wanted_item & wanted_user).collect(engine="in-memory")

    def merge(self, drop: int) -> None:
        """Merge every run that a drop will ask for. Of the drop to come: the night that completes a run pays for it."""
        for level, n in self._blocks(drop):
            self._run(level, n)

    def _blocks(self, drop: int) -> Iterator[tuple[int, int]]:
        """The fewest runs that hold the drops before one, in order."""
        at = 0
        for level in reversed(range(len(self.keys))):
            size = FAN_OUT ** level
            while at + size <= drop:
                yield level, at // size
                at += size

    def _run(self, level: int, n: int) -> Path:
        """The file of a run, merged now if it is not there."""
        path = self.folder / self.name(level, n)
        if level and not path.exists():
            parts = [self._run(level - 1, n * FAN_OUT + child) for child in range(FAN_OUT)]
            sums = (pl.col(name).sum() for name in ("outcomes", "impressions", "conversions", "positives"))
            merged = pl.scan_parquet(parts, glob=False).group_by("user_id", "item_id").agg(*sums, pl.col("first_day").min())
            with staged_file(path) as staging:
                merged.sort("user_id", "item_id", nulls_last=False).select(*TOTALS).collect(engine="in-memory").write_parquet(
                    staging, compression="zstd")
        return path
