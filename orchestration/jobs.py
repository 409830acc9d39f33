"""The runs a cycle is made of, each a selection of groups."""

import dagster as dg

from assets.partitions import days, segments

group, assets = dg.AssetSelection.groups, dg.AssetSelection.assets

days_job = dg.define_asset_job(
    "days_job", group("ingestion", "cleaning"), partitions_def=days,
    description="Load day drops and clean them; a night or a year in one run.")
base_job = dg.define_asset_job(
    "base_job", group("features", "base_model") | assets("student"),
    description="Build the features, fine-tune the text encoder, fit the base model, distil the student.")
nightly_base_job = dg.define_asset_job(
    "nightly_base_job", group("features", "base_model") - assets("text_encoder"),
    description="Build the features and refit the base model around the text encoder that is there.")
segments_job = dg.define_asset_job(
    "segments_job", assets("segment_adapter", "segment_evaluation"), partitions_def=segments,
    description="Adapt segments and evaluate them; all stale ones in one run.")
publish_job = dg.define_asset_job(
    "publish_job", assets("judged_nights", "evaluation_report", "search_model", "task_adapter", "item_attributes", "bundle",
                          "champion", "daily_recommendations"),
    description="Write the report, learn the search, prove labelled tasks, read the items' attributes, pack the bundle, promote "
                "it if its gates hold, write everybody's list.")

jobs = [days_job, base_job, nightly_base_job, segments_job, publish_job]
