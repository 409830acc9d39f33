"""What serving needs instead of the big model: a small int8 query encoder."""

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, profile
from recsys_core.distillation import StudentConfig, build_student
from recsys_core.text_encoder import TextEncoderArtefact, VectorCache


class DistillationConfig(dg.Config):
    """What people change about the student."""

    layers: int = Field(StudentConfig().layers, description="teacher layers kept")
    max_steps: int = Field(30 if profile == "quick" else StudentConfig().max_steps, description="optimiser steps")
    seed: int = 0


@dg.asset(group_name="distillation", io_manager_key="folders", kinds={"pytorch", "onnx"})
def student(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
            config: DistillationConfig, text_encoder, clean_items: pl.LazyFrame):
    """A shallow student of the text encoder in the same vector space, exported to int8 ONNX."""
    folder = home.staging("student")
    about = build_student(folder, TextEncoderArtefact(text_encoder).load(), clean_items.collect(),
                          StudentConfig(layers=config.layers, max_steps=config.max_steps), config.seed,
                          VectorCache(home.vectors))
    served = about["agreement"]["int8"]
    tracking.log(metrics={f"student/{probe}/{name}": value
                          for probe, found in served.items() for name, value in found.items()})
    context.add_output_metadata({"agreement": served})
    return folder
