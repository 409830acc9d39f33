"""Whether what is said of items and shoppers still is what a drop's partials were made with.

Segments' conditions read columns of items and users, and interactions leave out items that the catalogue lacks. Both tables come
anew every night. A drop's partials depend on the rows of its own items and shoppers, and on the columns that conditions name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from recsys_core.features.ledger import digest

if TYPE_CHECKING:
    from recsys_core.ingestion import SegmentSpec


@dataclass(frozen=True)
class Attributes:
    """Hashes of the rows of items and users.

    Args:
        items: item_id and _hash, UInt64.
        users: user_id and _hash; None where no condition reads users.
        whole: tells all of it apart from any other.
    """

    items: pl.DataFrame
    users: pl.DataFrame | None
    whole: str

    @property
    def nothing(self) -> tuple[str, str]:
        """What a drop without rows depends on."""
        return digest([0] * (1 + (self.users is not None))), digest([])

    @classmethod
    def of(cls, items: pl.DataFrame, users: pl.DataFrame, segments: Sequence[SegmentSpec]) -> Attributes:
        """Of the tables that a night works with."""
        text = " ".join(segment.where for segment in segments).lower()
        hashed = {key: _hash_rows(frame, key, text) for key, frame in (("item_id", items), ("user_id", users))}
        read = any(name.lower() in text for name in ("users", *users.columns) if name != "user_id")
        parts = [hashed["item_id"], *([hashed["user_id"]] if read else [])]
        return cls(hashed["item_id"], hashed["user_id"] if read else None, digest([(len(part), _sum(part)) for part in parts]))

    def of_drops(self, totals: pl.DataFrame) -> dict[int, tuple[str, str]]:
        """What each drop's partials depend on: the rows that its conditions read, and the items that the catalogue lacks.

        Args:
            totals: the drops' `TOTALS` and _file.
        """
        items = totals.filter(pl.col("user_id").is_null()).select("_file", "item_id").join(
            self.items, on="item_id", how="left", maintain_order="left")
        sums = [dict(items.group_by("_file").agg(pl.col("_hash").sum()).iter_rows())]
        if self.users is not None:
            users = totals.filter(pl.col("item_id").is_null()).join(self.users, on="user_id", how="inner")
            sums.append(dict(users.group_by("_file").agg(pl.col("_hash").sum()).iter_rows()))
        missing = items.filter(pl.col("_hash").is_null()).group_by("_file").agg(pl.col("item_id").sort())
        lacking = dict(missing.iter_rows())
        return {file: (digest([found.get(file, 0) for found in sums]), digest(lacking.get(file, [])))
                for file in totals["_file"].unique().to_list()}


def _hash_rows(frame: pl.DataFrame, key: str, text: str) -> pl.DataFrame:
    """A hash per row, of 40 bits, so that their sum has room: it does not depend on the order of rows."""
    named = [name for name in frame.columns if name != key and name.lower() in text]
    return frame.select(key, (frame.select(key, *named).hash_rows() // 2**24).alias("_hash"))


def _sum(hashed: pl.DataFrame) -> int:
    return int(hashed["_hash"].sum())
