"""What the service logged, as tables: who was shown what, by which variant, and what shoppers did.

Both logs are files of JSON lines, one per day: `exposures/DAY.jsonl` and `events/DAY.jsonl` below one folder.
"""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Literal

import polars as pl

from recsys_core.errors import ExperimentError
from recsys_core.experiments.config import ExperimentConfig
from recsys_core.schema import CLICK, PURCHASE, UTC, Columns

log = logging.getLogger(__name__)

Metric = Literal["click", "purchase", "revenue"]
EVENT_OF: dict[Metric, str] = {"click": CLICK, "purchase": PURCHASE, "revenue": PURCHASE}
SHOWN = pl.Struct({"item_id": pl.String, "position": pl.Int32, "propensity": pl.Float64, "team": pl.String})
EXPOSURE_ROW: Columns = {"timestamp": pl.String, "request_id": pl.String, "user_id": pl.String, "experiment": pl.String,
                         "variant": pl.String, "propensity": pl.Float64, "items": pl.List(SHOWN)}
EVENT_ROW: Columns = {"event_id": pl.String, "user_id": pl.String, "timestamp": pl.String, "event_type": pl.String,
                      "item_id": pl.String, "price": pl.Float64, "quantity": pl.Float64}


def read_exposures(collected: Path, experiment: ExperimentConfig) -> pl.DataFrame:
    """The experiment's exposures while it ran: `EXPOSURE_ROW` with a time instead of a text, oldest first.

    Raises:
        ExperimentError: none was logged.
    """
    rows = _read_log(collected / "exposures", EXPOSURE_ROW)
    own = rows.filter(pl.col("experiment") == experiment.name, pl.col("timestamp") >= experiment.start,
                      pl.col("timestamp") < experiment.end, pl.col("user_id").is_not_null())
    if own.is_empty():
        raise ExperimentError(f"experiment {experiment.name!r}", f"none of {rows.height} exposures in {collected} is its own",
                              "name the folder that the service collects in, after it has served the experiment")
    return own.sort("timestamp", "request_id")


def read_events(collected: Path) -> pl.DataFrame:
    """What shoppers did: `EVENT_ROW` with a time instead of a text, each event once, oldest first."""
    rows = _read_log(collected / "events", EVENT_ROW)
    return rows.filter(pl.col("event_id").is_null() | pl.col("event_id").is_first_distinct()  # a retry is sent twice
                       ).sort("timestamp", maintain_order=True)


def outcomes_of(events: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """The events that count for a metric: user_id, item_id, timestamp and value (1, or for revenue the money)."""
    value = pl.col("price").fill_null(0) * pl.col("quantity").fill_null(1) if metric == "revenue" else pl.lit(1.0)
    return events.filter(pl.col("event_type") == EVENT_OF[metric]).select(
        "user_id", "item_id", "timestamp", value.alias("value"))


def _read_log(folder: Path, columns: Columns) -> pl.DataFrame:
    """Every day's file of a folder; rows without a time are left out. Lines that a full disk cut are left out and counted."""
    found = [_read_day(path, columns) for path in sorted(folder.glob("*.jsonl"))]
    rows = pl.concat([pl.DataFrame(schema=columns), *found])
    return rows.with_columns(pl.col("timestamp").str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False).cast(UTC)
                             ).filter(pl.col("timestamp").is_not_null())


def _read_day(path: Path, columns: Columns) -> pl.DataFrame:
    content = path.read_bytes()
    try:
        return pl.read_ndjson(io.BytesIO(content), schema=columns, ignore_errors=True)
    except pl.exceptions.PolarsError:
        lines = content.splitlines()
        whole = [line for line in lines if _is_object(line)]
        log.warning("%s: %d lines are no JSON objects and were left out", path, len(lines) - len(whole))
        if not whole:
            return pl.DataFrame(schema=columns)
        return pl.read_ndjson(io.BytesIO(b"\n".join(whole)), schema=columns, ignore_errors=True)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
