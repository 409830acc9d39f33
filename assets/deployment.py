"""What serving loads: the bundle, and the champion among the bundles."""

from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import Field

from assets.adaptation import make_study
from assets.io import count_table, data_versions
from assets.partitions import Home, shop_config
from recsys_core.answering import shop_rules
from recsys_core.artefacts import read_json
from recsys_core.base_model import BaseModelArtefact
from recsys_core.collection import read_unwanted
from recsys_core.deployment import (
    BundleGateConfig,
    DailyConfig,
    build_bundle,
    judge_bundle,
    load_champion,
    read_search,
    write_daily_lists,
    write_search,
)
from recsys_core.evaluation import EvaluationConfig, Results
from recsys_core.monitoring import NextDaysConfig, write_next_days
from recsys_core.release import NightsConfig, Promoter, judge_nights
from recsys_core.text_encoder import TextEncoderArtefact


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"numpy"})
def search_model(context: dg.AssetExecutionContext, home: Home, base_model, student, clean_events: dict[str, pl.LazyFrame],
                 raw_judgments: pl.LazyFrame):
    """How much meaning, words and popularity count in a search: learned from judgments, clicks or the catalogue's own queries."""
    folder = home.staging("search_model")
    learned = write_search(folder, BaseModelArtefact(base_model), student, clean_events, raw_judgments.collect())
    context.add_output_metadata({**learned.config.model_dump(), **learned.about,
                                 **({"judged": judged_table(learned.judged)} if learned.judged else {})})
    return folder


def judged_table(judged: dict) -> dg.MarkdownMetadataValue:
    """How well judged queries are answered, by how often they are asked."""
    return count_table(pl.DataFrame([
        {"judged by": judged["by"], "queries": name, "asked": found["queries"], "nothing fits": round(found["nothing"], 3),
         **{metric: round(one["mean"], 3) for metric, one in found["metrics"].items()}}
        for name, found in judged["slices"].items()]))


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"numpy"})
def judged_nights(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object], interactions: pl.LazyFrame):
    """What the champion (before the first one, the newest bundle) really did on the days since, beside rivals as fresh."""
    folder = home.staging("judged_nights")
    served = load_champion(home.published("champion")) or load_champion(home.published("bundle"))
    found = write_next_days(folder, served, interactions, home.published("judged_nights"), shop_config.time_zone,
                            NextDaysConfig())
    newest = {name: value for name, value in found[-1].items() if name != "day"} if found else {}
    tracking.log(metrics={f"next_day/{name}": value for name, value in newest.items()})
    context.add_output_metadata({"days_judged": [row["day"] for row in found], **newest})
    return folder


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"onnx", "safetensors"})
def bundle(context: dg.AssetExecutionContext, home: Home, base_model, text_encoder, student,
           segment_adapter: dict[str, Path], task_adapter: Path, evaluation_report, interactions: pl.LazyFrame,
           segment_events: pl.LazyFrame, raw_users: pl.LazyFrame, raw_shelves: pl.LazyFrame,
           raw_promotions: pl.LazyFrame, search_model: Path, item_attributes: pl.LazyFrame):
    """Everything serving needs, verified, self-tested and signed: refitted through the newest day, promoted families in."""
    folder, users = home.staging("bundle") / "bundle", raw_users.collect()
    manifest = build_bundle(
        folder, study=make_study(base_model, interactions, segment_events, raw_users), student=student,
        adapters=segment_adapter, results=Results.model_validate(read_json(evaluation_report / "metrics.json")), shop=shop_config,
        users=users if users.width > 1 else None, shelves=raw_shelves.collect(), promotions=raw_promotions.collect(),
        search=read_search(search_model), tasks=task_adapter, attributes=item_attributes.collect(), signing_key=home.key(),
        lineage={"encoder": TextEncoderArtefact(text_encoder).about["model"],
                 "cycle": context.run.tags.get("recsys/cycle", context.run_id), "run": context.run_id,
                 "data_versions": data_versions(context)})
    context.add_output_metadata({"files": len(manifest["files"]), "items": manifest["items"],
                                 "families": manifest["families"], "shelves": len(manifest["shelves"]),
                                 "tasks": [name for name, about in manifest["tasks"].items() if about["proven"]],
                                 "attributes": list(manifest["attributes"])})
    return folder


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"mlflow"})
def champion(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object], bundle: Path,
             judged_nights: Path, base_model, interactions: pl.LazyFrame, segment_events: pl.LazyFrame, raw_users: pl.LazyFrame):
    """The bundle that earned its place; a challenger that did not leaves the old champion as it is."""
    promoter = Promoter(home.path, shop_config.release)
    found = judge_bundle(
        make_study(base_model, interactions, segment_events, raw_users), bundle, promoter.champion, EvaluationConfig(),
        BundleGateConfig(), predecessor=promoter.predecessor(), fairness=shop_config.fairness)
    verdict = promoter.settle(bundle, found, context.run_id, judge_nights(judged_nights, NightsConfig()))
    promoted = verdict.outcome == "passed"
    context.add_output_metadata({"promoted": promoted, "verdict": verdict.outcome, "reasons": list(verdict.reasons),
                                 "challenger": verdict.bundle, "relapse": found.relapse or "none",
                                 "waiting": {kind: entry.bundle[:12] for kind, entry in promoter.log().waiting().items()}})
    tracking.log(metrics={f"gate/{name}": value for name, value in found.metrics.items()}, tags={"verdict": verdict.outcome})
    tracking.register(bundle, promoted, "; ".join(verdict.reasons))
    return promoter.champion


class DailyRecommendationsConfig(dg.Config):
    """What people change about everybody's lists."""

    k: int = Field(DailyConfig().k, description="items of a list")
    since: str | None = Field(None, description="local day: ask again only for shoppers with events from then on; null: for all")
    rules: str | None = Field(None, description="file of business rules; null: RECSYS_HOME/rules.yaml, where there is one")


@dg.asset(group_name="deployment", io_manager_key="folders", kinds={"parquet"})
def daily_recommendations(context: dg.AssetExecutionContext, home: Home, config: DailyRecommendationsConfig, champion: Path,
                          interactions: pl.LazyFrame):
    """The champion's list for every shopper with a history, and which of them changed."""
    folder = home.staging("daily_recommendations")
    facts = write_daily_lists(folder, load_champion(champion), interactions, home.published("daily_recommendations"),
                              DailyConfig(k=config.k), date.fromisoformat(config.since) if config.since else None,
                              shop_rules(home.path, Path(config.rules) if config.rules else None),
                              read_unwanted(home.path / "collected", home.user_keys()))
    context.add_output_metadata({name: facts[name] for name in ("users", "asked", "changed")})
    return folder
