"""Does adapting pay? Every segment and family is judged alone; one report gathers and decides."""

from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import Field

from assets.adaptation import make_study
from assets.partitions import Home, requested, segments, shop_config
from recsys_core.artefacts import read_json
from recsys_core.evaluation import EvaluationConfig, Evidence, decide, judge_segments, make_results, trials_of
from recsys_core.fan_out import FanOut
from recsys_core.report import write_report


class JudgeConfig(dg.Config):
    """What people change about judging."""

    max_queries: int = Field(EvaluationConfig().max_queries, description="steps asked per segment and window")
    family_queries: int = Field(EvaluationConfig().family_queries, description="steps asked per family and window")
    base_queries: int = Field(EvaluationConfig().base_queries, description="steps asked of the base")
    seed: int = 0

    def settings(self) -> EvaluationConfig:
        return EvaluationConfig(**self.model_dump())


@dg.asset(group_name="evaluation", io_manager_key="folders", partitions_def=segments,
          backfill_policy=dg.BackfillPolicy.single_run(), kinds={"numpy"})
def segment_evaluation(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                       fan_out: dg.ResourceParam[FanOut], config: JudgeConfig, segment_adapter, base_model,
                       interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame):
    """Each adapter against base, placebo, counts and incumbent, per audience, on rows none has seen."""
    study = make_study(base_model, interactions, segment_events, raw_users)
    judged = judge_segments({name: home.staging(name) for name in requested(context)}, study,
                            as_partitions(context, segment_adapter), home.published("champion"), config.settings(),
                            order_only=shop_config.order_only, fan_out=fan_out)
    decisions = decide_all(judged, home.published("segment_evaluation"), config.settings())
    for name, found in judged.items():
        context.add_asset_metadata(segment_facts(found, decisions[name]), partition_key=name)
    tracking.log(metrics={f"gate_gain/{name}/{audience}": one["trial"]["gains"]["base"]["mean"]
                          for name, found in judged.items() for audience, one in found["audiences"].items()
                          if one["trial"]["gains"]})
    return {name: found["folder"] for name, found in judged.items()}


def as_partitions(context: dg.AssetExecutionContext, folders: Path | dict[str, Path]) -> dict[str, Path]:
    """The upstream folders by segment, also where a step of one segment got a single one."""
    return folders if isinstance(folders, dict) else {context.partition_key: folders}


def decide_all(judged: dict[str, dict], published: Path, config: EvaluationConfig) -> dict[str, dict]:
    """The decisions over all segments, as the report will take them: those judged now and those judged earlier."""
    earlier = {name: read_json(published / name / "evaluation.json") for name in segments.get_partition_keys()
               if name not in judged and (published / name / "evaluation.json").is_file()}
    return decide(trials_of((earlier | judged).values()), config.gate)


def segment_facts(found: dict, decided: dict) -> dict:
    """What the UI shows of one segment's evaluation."""
    facts = {"decision": decided["decision"], "audiences": ", ".join(decided["audiences"]) or "none",
             "reason": decided["reason"], "shots": found["shots"], "method": found["method"]}
    rows = [f"| {audience} | {one['report']['questions']} | {_with_interval(one['report']['gain'])} "
            f"| {one['trial']['toughest'] or 'none'} |" for audience, one in found["audiences"].items() if one["report"]]
    points = [f"| {point['k']} | {_with_interval(point['gain'])} |" for point in found["curve"]]
    for name, head, lines in (("gains", "| audience | questions | gain | toughest rival |\n| :-- | --: | --: | :-- |", rows),
                              ("curve", "| K | gain |\n| --: | --: |", points)):
        if lines:
            facts[name] = dg.MetadataValue.md("\n".join([head, *lines]))
    return facts


def _with_interval(gain: dict | None) -> str:
    if gain is None:
        return "none"
    if gain["low"] is None:  # one shopper alone says nothing of others
        return f"{gain['mean']:+.4f} [unbounded]"
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


@dg.asset(group_name="evaluation", io_manager_key="folders", kinds={"markdown"})
def evaluation_report(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object],
                      config: JudgeConfig, base_model, text_encoder, student, search_model: Path, task_adapter: Path,
                      segment_evaluation: dict[str, Path], judged_nights: Path, interactions: pl.LazyFrame,
                      segment_events: pl.LazyFrame, raw_users: pl.LazyFrame, exposures: pl.LazyFrame,
                      quarantined_events: dict[str, pl.LazyFrame]):
    """How good the base is, and for whom adapting pays and for whom it does not."""
    study, folder = make_study(base_model, interactions, segment_events, raw_users), home.staging("report")
    reasons = pl.concat(quarantined_events.values()).group_by("reason").len().collect()
    evidence = Evidence(text_encoder, student, search_model, task_adapter, segment_evaluation, exposures.collect(),
                        dict(reasons.iter_rows()), judged_nights)
    results = make_results(study, evidence, shop_config, home.profile, config.settings())
    write_report(folder, results)
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
