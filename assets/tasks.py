"""Labelled tasks: classes, attributes and grades that the shop's labels teach."""

from pathlib import Path

import dagster as dg
import polars as pl

from assets.io import count_table
from assets.partitions import Home
from recsys_core.artefacts import read_json
from recsys_core.serving import STUDENT
from recsys_core.tasks import ADAPTED, adapt_tasks, extract_attributes


@dg.asset(group_name="adaptation", io_manager_key="folders", kinds={"numpy"})
def task_adapter(context: dg.AssetExecutionContext, home: Home, tracking: dg.ResourceParam[object], student: Path,
                 clean_items: pl.LazyFrame, raw_labels: pl.LazyFrame):
    """Every task of the shop's labels, proven against its trivial rivals; a shop without labels has none."""
    folder = home.staging("task_adapter")
    told = adapt_tasks(student / STUDENT, raw_labels.collect(), clean_items.collect(), folder)
    tasks = told["tasks"]
    tracking.log(metrics={f"task/{name}": about["score"] for name, about in tasks.items() if about.get("score") is not None})
    context.add_output_metadata({"proven": [name for name, about in tasks.items() if about["proven"]], "tasks": task_table(tasks),
                                 "reasons": {name: about["reason"] for name, about in tasks.items()},
                                 "rows_set_aside": told["set_aside"]})
    return folder


@dg.asset(group_name="adaptation", io_manager_key="clean_tables", kinds={"polars"})
def item_attributes(context: dg.AssetExecutionContext, student: Path, task_adapter: Path,
                    clean_items: pl.LazyFrame) -> pl.DataFrame:
    """Further columns of clean_items: what proven tasks read off the items' texts where the shop says nothing, and which did."""
    table = extract_attributes(task_adapter, read_json(task_adapter / ADAPTED)["tasks"], student / STUDENT, clean_items.collect())
    context.add_output_metadata({"values": count_table(table.group_by("attribute", "task", "task_hash").len().sort("attribute"))})
    return table


def task_table(tasks: dict) -> dg.MarkdownMetadataValue:
    """Every task beside its rivals."""
    return count_table(pl.DataFrame([
        {"task": name, "kind": about.get("kind"), "proven": about["proven"], "rows": about.get("examples"),
         "score": round_or_none(about.get("score")), "unsure below": round_or_none(about.get("unsure_below")),
         "rivals": ", ".join(f"{rival} {score:.3f}" for rival, score in about.get("rivals", {}).items())}
        for name, about in tasks.items()],
        schema=["task", "kind", "proven", "rows", "score", "unsure below", "rivals"]))


def round_or_none(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
