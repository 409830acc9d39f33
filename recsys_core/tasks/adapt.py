"""From a labels table to proven tasks: each is judged, and only what pays is learned from all its examples and written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_core.artefacts import write_json
from recsys_core.errors import AdapterError
from recsys_core.tasks.gate import RemembersTexts, TaskGateConfig, judge_task
from recsys_core.tasks.kinds import KINDS
from recsys_core.tasks.labels import Task, read_tasks

if TYPE_CHECKING:
    from recsys_core.tasks.classes import ReadsTexts

log = logging.getLogger(__name__)

ADAPTED = "tasks.json"  # of a folder of adapted tasks: what was found of each
ASIDE_SHOWN = 20  # rows set aside that are kept with their reason


def adapt_task(encoder: ReadsTexts, task: Task, folder: Path, config: TaskGateConfig | None = None) -> dict[str, Any]:
    """Prove one task, and write its adapter where it is proven.

    Args:
        encoder: the one that will answer: the transformer of the bundle's student.
        task: its examples.
        folder: for the adapter; a task that is refused leaves none.
        config: what it must show.

    Returns:
        what a bundle's manifest says of it: kind, proven, reason, rivals and gains, numbers of examples, classes or
        attributes, when it names no class, and where some examples are for testing, what the adapter makes of them.
    """
    kind, reader = KINDS[task.kind], RemembersTexts(encoder)
    verdict = judge_task(reader, task, config or TaskGateConfig())
    names = sorted({label for one in task.examples for label in (*one.labels, *(attribute for attribute, _ in one.spans))})
    about = {"kind": task.kind, **verdict.to_json(), "examples": len(task.train), "test_examples": len(task.test),
             "names": names}
    if verdict.proven:
        try:
            adapter = kind.fit(reader, task.train, task.name)
        except AdapterError as error:
            return {**about, "proven": False, "reason": error.culprit}
        adapter.save(folder)
        about |= kind.thresholds(adapter)
        if task.test:
            about["test"] = kind.measures(adapter, reader, task.test)
    log.log(logging.INFO if verdict.proven else logging.WARNING, "task %s (%s, %d examples): %s: %s", task.name, task.kind,
            len(task.train), "proven" if verdict.proven else "refused", verdict.reason)
    return about


def adapt_tasks(student: Path, labels: pl.DataFrame, items: pl.DataFrame, folder: Path,
                config: TaskGateConfig | None = None) -> dict[str, Any]:
    """Prove every task of a labels table; write the proven ones below `folder`, and tasks.json beside them.

    Args:
        student: its folder; where a table names no task it is not opened.
        labels: `schema.LABELS`.
        items: cleaned ones, for item ids.
        folder: empty.
        config: what a task must show.

    Returns:
        the content of tasks.json: tasks by name, see `adapt_task`, and the rows set aside: how many, and the first of them.
    """
    from recsys_core.student import ONNX, OnnxEncoder

    read, about = read_tasks(labels, items), {}
    if read.tasks:
        encoder = OnnxEncoder.load(student / ONNX)
        about = {name: adapt_task(encoder, task, folder / name, config) for name, task in sorted(read.tasks.items())}
    about |= {name: {"proven": False, "reason": reason} for name, reason in read.faults.items()}
    if read.aside.height:
        log.warning("%d of %d label rows are set aside, e.g. row %d: %s", read.aside.height, labels.height,
                    *read.aside.select("row", "reason").row(0))
    told = {"tasks": about, "set_aside": read.aside.height, "aside": read.aside.head(ASIDE_SHOWN).to_dicts()}
    write_json(folder / ADAPTED, told)
    return told
