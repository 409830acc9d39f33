"""One adapter per segment; a step may hold any number of segments and loads the base once for all of them."""

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, profile, requested, segments
from recsys_core.adaptation.adapt import AdaptationConfig
from recsys_core.adaptation.segment import adapt_segments
from recsys_core.adaptation.shots import ShotConfig
from recsys_core.adaptation.study import Study
from recsys_core.base_model.model import BaseModelArtefact
from recsys_core.base_model.tune import TextEncoderArtefact


class SegmentAdapterConfig(dg.Config):
    """What people change about adapting."""

    k: int = Field(ShotConfig().k, description="most shots per segment")
    strategy: str = Field(ShotConfig().strategy, description="which events of the support window: random | recent | stratified")
    lora_segments: int = Field(0 if profile == "quick" else AdaptationConfig().lora_segments,
                               description="segments per step that try LoRA too")
    seed: int = 0


@dg.asset(group_name="adaptation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy", "pytorch"})
def segment_adapter(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                    config: SegmentAdapterConfig, base_model, text_encoder, interactions: pl.LazyFrame,
                    segment_events: pl.LazyFrame):
    """What each segment adds to the base, from its shots: the judged adapter, its placebo, and what would ship."""
    settings = AdaptationConfig(shots=ShotConfig(k=config.k, strategy=config.strategy, seed=config.seed),
                                lora_segments=config.lora_segments)
    study = Study(BaseModelArtefact(base_model), interactions.collect(), segment_events.collect(), settings.shots)
    made = adapt_segments({name: home.staging(name) for name in requested(context)}, study,
                          TextEncoderArtefact(text_encoder), settings, home.path / "segment_adapter")
    for name, about in made.items():
        context.add_asset_metadata({"shots": about["shots"], "method": about["method"], "reason": about["reason"]},
                                   partition_key=name)
    tracking.log(metrics={f"shots/{name}": about["shots"] for name, about in made.items()})
    return {name: about["folder"] for name, about in made.items()}
