"""The base model: an encoder fine-tuned on the shop (weekly) and the rankers fitted around it (nightly)."""

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, profile, shop_config
from recsys_core.base_model import BaseConfig, BaseModelArtefact, build_base, plan_shop
from recsys_core.evaluation import OffersConfig, judge_promotions
from recsys_core.fan_out import FanOut
from recsys_core.interactions import WindowConfig
from recsys_core.text_encoder import (
    EncoderConfig,
    FinetuneConfig,
    PairConfig,
    TextEncoderArtefact,
    VectorCache,
    build_text_encoder,
)


class TextEncoderConfig(dg.Config):
    """What people change about the encoder; everything else has its default in the core."""

    model: str = Field(shop_config.base_model or EncoderConfig().model,
                       description="the shop's `base_model`, or another: a packaged name, a Hugging Face id, or a folder")
    max_steps: int = Field(15 if profile == "quick" else FinetuneConfig().max_steps,
                           description="fine-tuning steps; 0 keeps the weights")
    seed: int = 0


class BaseModelConfig(dg.Config):
    """What people change about the base model."""

    validation_queries: int = Field(BaseConfig().validation_queries, description="steps that choose the blend")
    seed: int = 0


def _plan(interactions: pl.DataFrame):
    return plan_shop(interactions, list(shop_config.segments), WindowConfig(),
                     families=[family.name for family in shop_config.families], time_zone=shop_config.time_zone,
                     order_only=shop_config.order_only)


@dg.asset(group_name="base_model", io_manager_key="folders", pool="accelerator", kinds={"pytorch", "huggingface"})
def text_encoder(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                 config: TextEncoderConfig, clean_items: pl.LazyFrame, interactions: pl.LazyFrame):
    """The pretrained encoder, fine-tuned by PEFT LoRA on what the shop knew before its earliest window."""
    folder, events = home.staging("text_encoder"), interactions.collect()
    about = build_text_encoder(
        folder, items=clean_items.collect(), interactions=events, plan=_plan(events),
        encoder=EncoderConfig(model=config.model), pairs=PairConfig(),
        finetune=FinetuneConfig(max_steps=config.max_steps), seed=config.seed)
    curve = [row["held_out_loss"] for row in about["curves"]]
    tracking.log(params={"encoder": about["model"], "pairs": about["pairs"], "tuning_kept": about["kept"]},
                 curves={"encoder/held_out_loss": curve})
    context.add_output_metadata({"kept": about["kept"], "pairs": about["pairs"], "held_out_loss": curve,
                                 "unknown_tokens": about["unknown_share"]})
    return folder


@dg.asset(group_name="base_model", io_manager_key="folders", pool="accelerator", kinds={"numpy"})
def base_model(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
               fan_out: dg.ResourceParam[FanOut], config: BaseModelConfig, text_encoder, clean_items: pl.LazyFrame,
               interactions: pl.LazyFrame, exposures: pl.LazyFrame, item_features: pl.LazyFrame, raw_promotions: pl.LazyFrame):
    """Item vectors, one ranker per evaluation cut-off, the ranker that ships, the click head, and what promotions count."""
    folder, events, tuned = home.staging("base_model"), interactions.collect(), TextEncoderArtefact(text_encoder)
    summary = build_base(
        folder, encoder=tuned.load(), encoder_cutoff=tuned.about["cutoff"], items=clean_items.collect(),
        interactions=events, exposures=exposures.collect(),
        item_features=item_features.collect(), plan=_plan(events),
        cache=VectorCache(home.vectors, fan_out),
        config=BaseConfig(validation_queries=config.validation_queries, seed=config.seed))
    offers = judge_promotions(BaseModelArtefact(folder), events, raw_promotions.collect(), shop_config.time_zone,
                              OffersConfig(seed=config.seed))
    tracking.log(params={"items": summary["items"], "users": summary["users"]},
                 metrics={f"weight/{name}": value[-1] for name, value in summary["weights"].items()})
    context.add_output_metadata({"weights": summary["weights"], "lock": summary["lock"],
                                 "distinct_texts": summary["distinct_texts"], "promotions": offers or "none",
                                 "unknown_tokens": summary["unknown_share"]})
    return folder
