"""features.duckdb: the feature tables as views, so that people can ask SQL of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from recsys_core.artefacts import staged_file
from recsys_core.errors import DataError

NAME = "features.duckdb"


def write_views(folder: Path, tables: Sequence[str]) -> None:
    """Make the database anew where it lacks a view or names another place; it holds no rows, so it is small.

    Raises:
        DataError: it cannot be written.
    """
    path = folder / NAME
    wanted = {table: f"SELECT * FROM read_parquet('{_pattern(folder.resolve() / table)}')" for table in tables}
    note = folder / ".partials" / "views.txt"
    text = "\n".join(f"{table}: {query}" for table, query in wanted.items())
    if path.exists() and note.exists() and note.read_text(encoding="utf-8") == text:
        return
    try:
        with staged_file(path) as staging, duckdb.connect(str(staging)) as connection:
            for table, query in wanted.items():
                connection.execute(f'CREATE VIEW "{table}" AS {query}')
        note.write_text(text, encoding="utf-8")
    except (duckdb.Error, OSError) as error:
        raise DataError(str(path), str(error).splitlines()[0], "close other programs that have it open, check free space and "
                        "rights; the tables themselves are in the folders beside it") from None


def _pattern(folder: Path) -> str:
    """All Parquet files of a folder as DuckDB's glob inside an SQL string: what has a meaning there stands for itself."""
    literal = "".join(f"[{letter}]" if letter in "[*?" else letter for letter in str(folder))
    return f"{literal}/*.parquet".replace("'", "''")
