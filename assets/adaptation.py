"""One adapter per segment; a step may hold any number of segments and loads the base once for all of them."""

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, requested, segments
from recsys_core.adaptation.adapt import AdaptationConfig
from recsys_core.adaptation.segment import adapt_segments
from recsys_core.adaptation.shots import ShotConfig
from recsys_core.adaptation.study import Study
from recsys_core.base_model.model import BaseModelArtefact


class SegmentAdapterConfig(dg.Config):
    """What people change about adapting."""

    k: int = Field(ShotConfig().k, description="most shots per segment")
    seed: int = 0


@dg.asset(group_name="adaptation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy"})
def segment_adapter(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                    config: SegmentAdapterConfig, base_model, interactions: pl.LazyFrame, segment_events: pl.LazyFrame):
    """What each segment adds to the base, from its shots: the judged adapter, its placebo, and what would ship."""
    settings = AdaptationConfig(shots=ShotConfig(k=config.k, seed=config.seed))
    study = Study(BaseModelArtefact(base_model), interactions.collect(), segment_events.collect(), settings.shots)
    made = adapt_segments({name: home.staging(name) for name in requested(context)}, study, settings)
    for name, about in made.items():
        context.add_asset_metadata({"shots": about["shots"], "method": about["method"], "reason": about["reason"]},
                                   partition_key=name)
    tracking.log(metrics={f"shots/{name}": about["shots"] for name, about in made.items()})
    return {name: about["folder"] for name, about in made.items()}
