"""The feature store: four point-in-time tables, a Parquet file per day each, and one DuckDB file of views over them."""

from pathlib import Path

import dagster as dg
import polars as pl

from assets.partitions import Home, shop_config
from recsys_core.artefacts import one_writer
from recsys_core.fan_out import FanOut
from recsys_core.features import FeatureConfig, Inputs, build_features
from recsys_core.schema import FEATURE_TABLES

DESCRIPTIONS = {
    "item_features": "What was shown, clicked and bought, per item and day.",
    "segment_events": "Which events belong to which segment.",
    "interactions": "The positive events that models train on, in order.",
    "exposures": "Every impression with its outcome and what was known just before it.",
}


class FeaturesConfig(FeatureConfig, dg.Config):
    """`FeatureConfig` in Dagster's launchpad; `shop.yaml` gives the default."""

    order_only: bool = shop_config.order_only


@dg.multi_asset(
    outs={name: dg.AssetOut(io_manager_key="feature_tables", description=DESCRIPTIONS[name],
                            kinds={"duckdb", "parquet"}, is_required=False) for name in FEATURE_TABLES},
    ins={"clean_events": dg.AssetIn(input_manager_key="clean_files")}, group_name="features", pool="duckdb", can_subset=True)
def features(context: dg.AssetExecutionContext, home: Home, fan_out: dg.ResourceParam[FanOut], config: FeaturesConfig,
             clean_events: dict[str, Path], clean_items: pl.LazyFrame, raw_users: pl.LazyFrame):
    """Compute what changed of the tables that the run selects: a new day costs by its own events."""
    users = raw_users.collect()
    inputs = Inputs(clean_items.collect(), users if users.width > 1 else None, shop_config.segments, shop_config.context)
    with one_writer(home.path / "features"):
        tables = build_features(home.path / "features", clean_events, inputs, config, context.selected_output_names,
                                fan_out)
    for name, table in tables.items():
        yield dg.Output(table, name)
