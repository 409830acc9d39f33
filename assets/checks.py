"""Great Expectations suites as asset checks that block: what fails here goes no further in the run."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from assets.partitions import days, requested
from expectations.suites import expectation_names, validate
from recsys_core.schema import FEATURE_TABLES

BY_DAY = ("raw_events", "clean_events")
WHOLE = ("raw_items", "raw_shelves", "raw_promotions", "raw_judgments", "clean_items", *FEATURE_TABLES)
MAY_BE_EMPTY = ("raw_shelves", "raw_promotions", "raw_judgments", "exposures", "segment_events")  # what a shop may lack


def table_checks(table: str, partitions: dg.PartitionsDefinition | None = None) -> dg.AssetChecksDefinition:
    """One step that holds `table` against its suite; each expectation is a check of its own.

    Args:
        table: the asset. partitions: its partitions; then only those of the run are read.
    """
    specs = [dg.AssetCheckSpec(name, asset=table, blocking=True, partitions_def=partitions)
             for name in expectation_names(table)]

    @dg.multi_asset_check(name=f"{table}_expectations", specs=specs, ins={"frame": dg.AssetIn(table)}, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext, frame):
        asked = {key.name for key in context.selected_asset_check_keys}
        for result in validate(table, _read(context, frame), allow_empty=table in MAY_BE_EMPTY):
            if result.name not in asked:
                continue
            yield dg.AssetCheckResult(
                check_name=result.name, asset_key=table, passed=result.success,
                description=result.detail, metadata={"observed": result.observed})

    return check


def _read(context: dg.AssetCheckExecutionContext,
          frame: pl.LazyFrame | Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    if isinstance(frame, Mapping):
        asked = set(requested(context))
        frame = pl.concat([part for day, part in frame.items() if day in asked])
    return frame.collect()


checks = [*(table_checks(table, days) for table in BY_DAY), *(table_checks(table) for table in WHOLE)]
