"""The feature store: four point-in-time tables in one DuckDB file, with Parquet snapshots for readers."""

import dagster as dg
import polars as pl

from assets.partitions import Home, shop_config
from recsys_core.features import FeatureConfig, build_features
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
    group_name="features", pool="duckdb", can_subset=True)
def features(context: dg.AssetExecutionContext, home: Home, config: FeaturesConfig,
             clean_events: dict[str, pl.LazyFrame], clean_items: pl.LazyFrame, raw_users: pl.LazyFrame):
    """Compute every table in memory and commit those that the run selects to the feature store together."""
    users = raw_users.collect()
    tables = build_features(
        home.path / "features" / "features.duckdb", pl.concat(clean_events.values()), clean_items.collect(),
        users if users.width > 1 else None, shop_config.segments, config,
        shop_config.context, context.selected_output_names)
    for name, table in tables.items():
        yield dg.Output(table, name)
