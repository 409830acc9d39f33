"""The student: the query encoder that is small enough to ship and quick enough to serve."""

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, profile
from recsys_core.distillation import StaticConfig, StudentConfig, build_student, logged_queries
from recsys_core.fan_out import FanOut
from recsys_core.text_encoder import TextEncoderArtefact, VectorCache


class DistillationConfig(dg.Config):
    """What people change about the student."""

    max_queries: int = Field(4_000 if profile == "quick" else StudentConfig().max_queries,
                             description="queries to learn from at most; the teacher reads each")
    tokens: int = Field(4_000 if profile == "quick" else StaticConfig().tokens, description="rows of the token table, about")
    seed: int = 0


@dg.asset(group_name="distillation", io_manager_key="folders", pool="accelerator", kinds={"pytorch", "onnx"})
def student(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
            fan_out: dg.ResourceParam[FanOut], config: DistillationConfig, text_encoder, clean_items: pl.LazyFrame,
            clean_events: dict[str, pl.LazyFrame]):
    """A static student in the text encoder's vector space, an int8 transformer beside it, and how both compare with it."""
    folder = home.staging("student")
    about = build_student(folder, TextEncoderArtefact(text_encoder).load(), clean_items.collect(), logged_queries(clean_events),
                          StudentConfig(max_queries=config.max_queries, static=StaticConfig(tokens=config.tokens)), config.seed,
                          VectorCache(home.vectors, fan_out))
    tracking.log(metrics={f"student/{name.replace(',', '')}/{measure}": value
                          for name, found in about["comparison"].items() for measure, value in found.items()})
    context.add_output_metadata({key: about[key] for key in ("serves", "comparison", "queries", "megabytes")})
    return folder
