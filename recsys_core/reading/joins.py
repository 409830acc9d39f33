"""Columns that lie in another file: looked up by a key that both files have, so that no row is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys_core.errors import ShopError


@dataclass(frozen=True)
class Join:
    """A look-up in another file.

    Args:
        path: the other file.
        on: the column that both files have.
    """

    path: Path
    on: str


def look_up(rows: pl.DataFrame, other: pl.DataFrame, join: Join, artefact: str) -> pl.DataFrame:
    """Rows with the other file's columns beside their own; a row without a match has nulls there.

    Args:
        rows: as read.
        other: the other file as read.
        artefact: the file of `rows`, for errors.

    Raises:
        ShopError: a file lacks the key, or the other file has it twice.
    """
    for frame, path in ((rows, artefact), (other, str(join.path))):
        if join.on not in frame.columns:
            raise ShopError(path, f"column {join.on!r} is missing; columns found: {', '.join(frame.columns)}",
                            "correct `joins` in shop.yaml: both files need the column that it is on")
    other = other.filter(pl.col(join.on).is_not_null()).cast({join.on: rows.schema[join.on]}, strict=False)
    if (repeated := other[join.on].is_duplicated()).any():
        raise ShopError(str(join.path), f"{join.on} {other[join.on].filter(repeated)[0]!r} stands in more than one row",
                        "join on a column that tells the rows apart")
    new = [name for name in other.columns if name not in rows.columns]
    return rows.join(other.select(join.on, *new), on=join.on, how="left", maintain_order="left")
