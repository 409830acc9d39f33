"""One adapter per segment or family; a step may hold any number of them and loads the base once for all."""

from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, requested, segments, shop_config
from recsys_core.adaptation import AdaptationConfig, Study, adapt_segments
from recsys_core.base_model import BaseModelArtefact


class SegmentAdapterConfig(dg.Config):
    """What people change about adapting."""

    questions: int = Field(AdaptationConfig().questions, description="steps asked to learn how far to trust the shots")
    seed: int = 0


def make_study(base_model: Path, interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame) -> Study:
    """Events and base model, as adapting and judging need them."""
    users = raw_users.collect()
    return Study(BaseModelArtefact(base_model), interactions.collect(), segment_events.collect(), shop_config.segments,
                 shop_config.families, users if users.width > 1 else None, shop_config.privacy.adapter_users)


@dg.asset(group_name="adaptation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy"})
def segment_adapter(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                    config: SegmentAdapterConfig, base_model, interactions: pl.LazyFrame, segment_events: pl.LazyFrame,
                    raw_users: pl.LazyFrame):
    """What each segment or family adds to the base, counted from its shots, and how far that is trusted."""
    study = make_study(base_model, interactions, segment_events, raw_users)
    made = adapt_segments({name: home.staging(name) for name in requested(context)}, study,
                          AdaptationConfig(questions=config.questions, seed=config.seed))
    for name, about in made.items():
        context.add_asset_metadata({key: about[key] for key in ("members", "shots", "method", "reason", "trust")},
                                   partition_key=name)
    tracking.log(metrics={f"shots/{name}": about["shots"] for name, about in made.items()})
    return {name: about["folder"] for name, about in made.items()}
