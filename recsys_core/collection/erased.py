"""Who asked to be erased: digests of their names, so that no night brings a shopper back from the shop's own files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys_core.artefacts import read_json, write_json
from recsys_core.pseudonyms import digest_id

ERASED = "erased.json"


@dataclass(frozen=True)
class Erasure:
    """One request.

    Args:
        at: when the last of the shopper's rows went, ISO 8601, UTC.
        touched: artefacts that had learned from the shopper then; the next cycle makes all of them again.
    """

    at: str
    touched: list[str]


def read_erased(home: Path) -> dict[str, Erasure]:
    """Digest of the name under which the shopper was stored → the request.

    Raises:
        RecsysError: the file is broken. Going on without it would bring shoppers back.
    """
    if not (home / ERASED).is_file():
        return {}
    return {digest: Erasure(**found) for digest, found in read_json(home / ERASED).items()}


def add_erased(home: Path, user_id: str, touched: Sequence[str]) -> None:
    """Write a request down, or that it went on now; what it had touched before stays touched.

    Args:
        home: RECSYS_HOME.
        user_id: the name under which the shopper is stored.
        touched: artefacts that had learned from the shopper.
    """
    listed = read_erased(home)
    before = listed.get(digest_id(user_id), Erasure("", []))
    listed[digest_id(user_id)] = Erasure(datetime.now(UTC).isoformat(), sorted({*before.touched, *touched}))
    write_json(home / ERASED, {digest: asdict(one) for digest, one in listed.items()})


def without_erased(rows: pl.DataFrame, erased: Collection[str]) -> pl.DataFrame:
    """The rows of shoppers whose digest is not in a list."""
    if not erased:
        return rows
    gone = [user for user in rows["user_id"].unique().drop_nulls() if digest_id(user) in erased]
    return rows.filter(pl.col("user_id").is_null() | ~pl.col("user_id").is_in(gone)) if gone else rows
