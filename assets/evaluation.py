"""Does adapting pay? Every segment is judged alone; one report gathers and decides."""

from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import Field

from assets.partitions import Home, profile, requested, segments, shop_config
from recsys_core.adaptation.adapt import AdaptationConfig
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import read_json
from recsys_core.base_model.model import BaseModelArtefact
from recsys_core.evaluation.curve import CurveConfig
from recsys_core.evaluation.gate import Trial, decide
from recsys_core.evaluation.report import write_report
from recsys_core.evaluation.segments import EvaluationConfig, judge_segments
from recsys_core.evaluation.summary import Evidence, make_results
from recsys_core.features.segments import candidate_items


class JudgeConfig(dg.Config):
    """What people change about judging."""

    max_queries: int = Field(EvaluationConfig().max_queries, description="steps asked per segment and window")
    base_queries: int = Field(EvaluationConfig().base_queries, description="steps asked of the base")
    curve_seeds: int = Field(3 if profile == "quick" else CurveConfig().seeds, description="draws per K of each curve")
    seed: int = 0

    def settings(self) -> EvaluationConfig:
        return EvaluationConfig(max_queries=self.max_queries, base_queries=self.base_queries, seed=self.seed,
                                curve=CurveConfig(seeds=self.curve_seeds))


def make_study(base_model: Path, interactions: pl.LazyFrame, segment_events: pl.LazyFrame) -> Study:
    """Events and base model, as judges need them."""
    return Study(BaseModelArtefact(base_model), interactions.collect(), segment_events.collect(),
                 AdaptationConfig().shots)


@dg.asset(group_name="evaluation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy"})
def segment_evaluation(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                       config: JudgeConfig, segment_adapter, base_model, interactions: pl.LazyFrame,
                       segment_events: pl.LazyFrame):
    """Each adapter against base, placebo, incumbent, from-scratch and popularity, on rows none has seen."""
    study, adapters = make_study(base_model, interactions, segment_events), as_partitions(context, segment_adapter)
    judged = judge_segments({name: home.staging(name) for name in requested(context)}, study, adapters,
                            candidate_items(study.base.catalogue.items, shop_config.segments), home.path / "champion",
                            config.settings(), order_only=shop_config.order_only)
    decisions = decide_all(judged, home.path / "segment_evaluation", config.settings())
    for name, found in judged.items():
        context.add_asset_metadata(segment_facts(found, decisions[name]), partition_key=name)
    tracking.log(metrics={f"gate_gain/{name}": found["trial"]["gains"]["base"]["gain"]
                          for name, found in judged.items() if found["trial"]["gains"]})
    return {name: found["folder"] for name, found in judged.items()}


def as_partitions(context: dg.AssetExecutionContext, folders: Path | dict[str, Path]) -> dict[str, Path]:
    """The upstream folders by segment, also where a step of one segment got a single one."""
    return folders if isinstance(folders, dict) else {context.partition_key: folders}


def decide_all(judged: dict[str, dict], published: Path, config: EvaluationConfig) -> dict[str, dict]:
    """The decisions over all segments, as the report will take them: those judged now and those judged earlier."""
    earlier = {name: read_json(published / name / "evaluation.json") for name in segments.get_partition_keys()
               if name not in judged and (published / name / "evaluation.json").is_file()}
    return decide([Trial(**found["trial"]) for found in (earlier | judged).values()], config.gate)


def segment_facts(found: dict, decided: dict) -> dict:
    """What the UI shows of one segment's evaluation."""
    trial, gains, curve = found["trial"], found["trial"]["gains"].get("base", {}), found["curve"]
    facts = {"decision": decided["decision"], "reason": decided["reason"], "K": found["shots"], "method": found["method"],
             "gate_queries": trial["n"], "toughest_rival": trial["toughest"] or "none", "p_value": trial["p_value"],
             "gain": dg.MetadataValue.md(f"**{_with_interval(gains, 'gain')}**" if gains else "none")}
    if curve is None:
        return facts
    rows = [f"| {point['k']} | {_with_interval(point['gain'], 'mean')} | {point['placebo']['mean']:+.4f} |"
            for point in curve["points"]]
    return facts | {"break_even": curve["break_even"] or "none", "shots_available": curve["available"],
                    "nightly_adapts_from": found["adapt_from"],
                    "curve": dg.MetadataValue.md("\n".join(["| K | gain | placebo |", "| --: | --: | --: |", *rows]))}


def _with_interval(value: dict, name: str) -> str:
    if value["low"] is None:  # one shopper alone says nothing of others
        return f"{value[name]:+.4f} [unbounded]"
    return f"{value[name]:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"


@dg.asset(group_name="evaluation", io_manager_key="folders", kinds={"markdown"})
def evaluation_report(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                      config: JudgeConfig, base_model, text_encoder, student,
                      segment_evaluation: dict[str, Path], interactions: pl.LazyFrame,
                      segment_events: pl.LazyFrame, exposures: pl.LazyFrame,
                      quarantined_events: dict[str, pl.LazyFrame]):
    """How good the base is, and for which segments adapting paid and for which it did not."""
    study, folder = make_study(base_model, interactions, segment_events), home.staging("report")
    reasons = pl.concat(quarantined_events.values()).group_by("reason").len().collect()
    evidence = Evidence(text_encoder, student, segment_evaluation, exposures.collect(), dict(reasons.iter_rows()))
    results = make_results(study, evidence, shop_config, home.profile, config.settings(), {})
    write_report(folder, results)
    for segment in results.segments:
        if segment.rests:
            context.log.info(f"{segment.name} is skipped by the nightly job: {segment.rests}")
    tracking.log(folders={"report": folder}, metrics=headline(results))
    context.add_output_metadata(report_metadata(folder, results))
    return folder


def headline(results) -> dict[str, float]:
    """The figures that MLflow keeps per cycle."""
    figures = {f"{m.method}/{results.metric}": m.metrics["all"][results.metric].mean for m in results.methods}
    promoted = sum(segment.decision == "promoted" for segment in results.segments)
    return {**figures, "segments/promoted": promoted, "segments/judged": len(results.segments)}


def report_metadata(folder: Path, results) -> dict:
    """The report and its plots as the UI shows them: text, and images inlined."""
    import base64

    plots = {path: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
             for path in sorted((folder / "plots").glob("*.png"))}
    text = (folder / "report.md").read_text(encoding="utf-8")
    for path, image in plots.items():  # the UI serves no files: a path there is a broken image
        text = text.replace(f"](plots/{path.name})", f"]({image})")
    return {"report": dg.MetadataValue.md(text), **headline(results),
            **{path.stem: dg.MetadataValue.md(f"![{path.stem}]({image})") for path, image in plots.items()}}
