"""One adapter per segment or family; a step may hold any number of them and loads the base once for all."""

from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, requested, segments, shop_config
from recsys_core.adaptation import AdaptationConfig, PublishedStudy, adapt_segments
from recsys_core.fan_out import FanOut


class SegmentAdapterConfig(dg.Config):
    """What people change about adapting."""

    questions: int = Field(AdaptationConfig().questions, description="steps asked to learn how far to trust the shots")
    seed: int = 0


def make_study(base_model: Path, interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame
               ) -> PublishedStudy:
    """Events and base model, as adapting and judging need them."""
    return PublishedStudy(base_model, interactions, segment_events, shop_config.segments, shop_config.families, raw_users,
                          shop_config.privacy.adapter_users)


@dg.asset(group_name="adaptation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy"})
def segment_adapter(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                    fan_out: dg.ResourceParam[FanOut], config: SegmentAdapterConfig, base_model,
                    interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame):
    """What each segment or family adds to the base, counted from its shots, and how far that is trusted."""
    study = make_study(base_model, interactions, segment_events, raw_users)
    made = adapt_segments({name: home.staging(name) for name in requested(context)}, study,
                          AdaptationConfig(questions=config.questions, seed=config.seed), fan_out)
    for name, about in made.items():
        context.add_asset_metadata({key: about[key] for key in ("members", "shots", "method", "reason", "trust")},
                                   partition_key=name)
    tracking.log(metrics={f"shots/{name}": about["shots"] for name, about in made.items()})
    return {name: about["folder"] for name, about in made.items()}
