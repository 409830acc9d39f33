"""One file of labels, apart from any shop's folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recsys_core.errors import ShopError
from recsys_core.ingestion import ShopConfig, refusing, to_closed_table
from recsys_core.reading import read_table


def read_labels(path: Path, task: str) -> pl.DataFrame:
    """A task's rows of a labels file, in any form that a shop may deliver.

    Args:
        path: CSV, JSON lines or Parquet with the contract's columns; without a column `task` all rows are the task's.
        task: its name.

    Returns:
        `schema.LABELS`.

    Raises:
        ShopError: the file cannot be read, or lacks the column label.
    """
    if not path.is_file():
        raise ShopError(str(path), "is no file", "give a table of labels")
    with refusing(str(path)):
        rows = read_table(path, path.name).rows
        if "task" not in rows.columns:
            rows = rows.with_columns(task=pl.lit(task))
        labels = to_closed_table(rows, "labels", ShopConfig(), str(path))
    return labels.filter(pl.col("task").str.strip_chars() == task)
