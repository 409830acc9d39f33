"""What the bundle itself knows of shoppers: their newest events and attributes, found by a digest of the id.

The files hold no ids. That is pseudonymisation, not anonymity: whoever has both the file and an id can look it up, and ids
that are numbers can be tried one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.artefacts import map_arrays
from recsys_core.schema import POSITIVE_EVENTS

DIGEST = {"digest_high": pl.UInt64, "digest_low": pl.UInt64}  # the columns of users.parquet that stand for the id


def digest_users(user_ids: Iterable[str]) -> np.ndarray:
    """The first 16 bytes of each id's SHA-256, as two big-endian integers: uint64 [n, 2]."""
    digests = b"".join(hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()[:16] for user in user_ids)
    return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)


@dataclass(frozen=True)
class UserRows:
    """The rows of shoppers by their ids' digests.

    Args:
        digests: uint64 [U, 2], see `digest_users`; rows in order.
    """

    digests: np.ndarray

    def row(self, user_id: str) -> int | None:
        """A shopper's row; None where the id is unknown."""
        high, low = digest_users([user_id])[0]
        at, column = int(np.searchsorted(self.digests[:, 0], high)), self.digests
        while at < len(column) and column[at, 0] == high:
            if column[at, 1] == low:
                return at
            at += 1
        return None


@dataclass(frozen=True)
class KnownAttributes:
    """What a shop's own table says of its shoppers, as far as a promoted segment asks for it.

    Args:
        rows: of the shoppers.
        table: a column per attribute, in the same order.
    """

    rows: UserRows
    table: pl.DataFrame

    @classmethod
    def load(cls, path: Path) -> KnownAttributes:
        """Read `users.parquet`."""
        table = pl.read_parquet(path, glob=False)
        return cls(UserRows(table.select(*DIGEST).to_numpy()), table.drop(*DIGEST))

    def of(self, user_id: str) -> dict[str, Any] | None:
        """A shopper's attributes by name; None where the id is unknown."""
        row = self.rows.row(user_id)
        return None if row is None else self.table.row(row, named=True)


@dataclass(frozen=True)
class KnownHistories:
    """The newest events of every shopper that the training log knows, oldest first.

    Args:
        rows: of the U shoppers.
        starts: int64 [U+1], where each shopper's events lie.
        items: int32 [E], catalogue rows.
        types: int8 [E], places in `schema.POSITIVE_EVENTS`.
        times: int64 [E], seconds since the epoch; [0] where the shop has no times.
    """

    rows: UserRows
    starts: np.ndarray
    items: np.ndarray
    types: np.ndarray
    times: np.ndarray

    @classmethod
    def load(cls, path: Path) -> KnownHistories:
        """Map `histories.safetensors` into memory."""
        arrays = map_arrays(path)
        return cls(UserRows(arrays["digests"]), arrays["starts"], arrays["items"], arrays["types"], arrays["times"])

    def of(self, user_id: str, at: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
        """A shopper's items, types and times (None where the shop has none) as of a time; None: the id is unknown.

        Args:
            user_id: the shop's id.
            at: seconds since the epoch; later events are left out. None: all events.
        """
        row = self.rows.row(user_id)
        if row is None:
            return None
        own = slice(int(self.starts[row]), int(self.starts[row + 1]))
        items, types, times = self.items[own], self.types[own], self.times[own] if len(self.times) else None
        if times is None or at is None:
            return items, types, times
        past = times <= at
        return items[past], types[past], times[past]

    def events(self, user_id: str, item_ids: list[str]) -> list[dict[str, Any]]:
        """The same as a request writes them: item_id, event_type and, where the shop has times, timestamp (epoch seconds)."""
        row = self.rows.row(user_id)
        if row is None:
            return []
        own = range(int(self.starts[row]), int(self.starts[row + 1]))
        found: list[dict[str, Any]] = [{"item_id": item_ids[self.items[at]], "event_type": POSITIVE_EVENTS[self.types[at]]}
                                       for at in own]
        if len(self.times):
            for event, at in zip(found, own, strict=True):
                event["timestamp"] = int(self.times[at])
        return found
