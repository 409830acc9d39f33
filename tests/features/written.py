"""A feature table as a test writes it: one day file."""

from pathlib import Path

import polars as pl


def write_feature_table(features: Path, name: str, rows: pl.DataFrame) -> None:
    """Make the table hold these rows and no others."""
    (features / name).mkdir(parents=True, exist_ok=True)
    for path in (features / name).iterdir():
        path.unlink()
    rows.write_parquet(features / name / "2024-03-01.parquet")
