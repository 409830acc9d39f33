"""What serving loads: the bundle, and the champion among the bundles."""

import shutil
from pathlib import Path

import dagster as dg
import polars as pl

from assets.adaptation import make_study
from assets.partitions import Home, shop_config
from recsys_core.artefacts import read_json
from recsys_core.deployment import BundleGateConfig, build_bundle, judge_bundle
from recsys_core.evaluation import EvaluationConfig, Results
from recsys_core.text_encoder import TextEncoderArtefact


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"onnx", "safetensors"})
def bundle(context: dg.AssetExecutionContext, home: Home, base_model, text_encoder, student,
           segment_adapter: dict[str, Path], evaluation_report, interactions: pl.LazyFrame,
           segment_events: pl.LazyFrame, raw_users: pl.LazyFrame, raw_shelves: pl.LazyFrame,
           raw_promotions: pl.LazyFrame):
    """Everything serving needs, verified, self-tested and signed: refitted through the newest day, promoted families in."""
    folder, users = home.staging("bundle") / "bundle", raw_users.collect()
    manifest = build_bundle(
        folder, study=make_study(base_model, interactions, segment_events, raw_users), student=student,
        adapters=segment_adapter, results=Results.model_validate(read_json(evaluation_report / "metrics.json")), shop=shop_config,
        users=users if users.width > 1 else None, shelves=raw_shelves.collect(), promotions=raw_promotions.collect(),
        signing_key=home.key(),
        lineage={"encoder": TextEncoderArtefact(text_encoder).about["model"],
                 "cycle": context.run.tags.get("recsys/cycle", context.run_id)})
    context.add_output_metadata({"files": len(manifest["files"]), "items": manifest["items"],
                                 "families": manifest["families"], "shelves": len(manifest["shelves"])})
    return folder


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"mlflow"})
def champion(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object], bundle: Path,
             base_model, interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame):
    """The bundle that earned its place; a challenger that did not leaves the old champion as it is."""
    verdict, metrics = judge_bundle(make_study(base_model, interactions, segment_events, raw_users),
                                    home.published("champion"), EvaluationConfig(), BundleGateConfig())
    context.add_output_metadata({"promoted": verdict.passed, "reasons": list(verdict.reasons)})
    tracking.log(metrics={f"gate/{name}": value for name, value in metrics.items()},
                 tags={"gate": "promoted" if verdict.passed else "refused"})
    tracking.register(bundle, verdict.passed, "; ".join(verdict.reasons))
    folder = home.staging("champion")
    source = bundle if verdict.passed else home.published("champion")
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder
