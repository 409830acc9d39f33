"""Commands about labelled tasks: `recsys adapt`, `recsys label-next`, and `recsys evaluate --task`."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.cli.bundles import add_bundle, bundle_folder, home_folder, load_bundle, to_json
from recsys_core.errors import AdapterError, BundleError, DataError, RequestError

if TYPE_CHECKING:  # the runtime of a bundle is only loaded by the commands that need one
    import polars as pl

    from recsys_core.serving import Bundle
    from recsys_core.tasks.labels import Task

SIGNING_KEY = "RECSYS_SIGNING_KEY"  # the variable that names the private key that signs


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    made = commands.add_parser("adapt", help="learn a labelled task, prove it, and write a bundle with it")
    _add_task(made, adapt)
    made.add_argument("--labels", type=Path, required=True, help="table of labels: label, text or item_id or query; split, span")
    made.add_argument("--out", type=Path, help="folder of the new bundle (that of --bundle, replaced at once)")
    asked = commands.add_parser("label-next", help="which texts to label next: those that would help most")
    _add_task(asked, label_next)
    asked.add_argument("--texts", type=Path, required=True, help="a text a line, or a table with a column text")
    asked.add_argument("-n", "--n", type=int, default=10, help="how many (10)")


def _add_task(parser: argparse.ArgumentParser, run: Any) -> None:
    add_bundle(parser)
    parser.set_defaults(run=run)
    parser.add_argument("--task", required=True, help="the task's name")


def adapt(options: argparse.Namespace) -> None:
    """Learn and prove a task; a refused one leaves every bundle as it is and ends the command with 1."""
    from recsys_core.deployment import add_task
    from recsys_core.serving import TRUSTED_KEY
    from recsys_core.tasks import adapt_task

    logging.basicConfig(format="recsys: %(message)s", level=logging.WARNING)
    folder, bundle, trusted = bundle_folder(options), load_bundle(options), os.environ.get(TRUSTED_KEY)
    key = _signing_key(folder)
    if trusted and key is None:
        raise BundleError(TRUSTED_KEY, "is set, and there is no key to sign the new bundle with: nobody would load it",
                          f"name the private key in {SIGNING_KEY}")
    task = _read_task(options, bundle)
    with tempfile.TemporaryDirectory() as place:
        about = adapt_task(bundle.parts.labelled.reader, task, Path(place) / task.name)
        if not about["proven"]:
            raise AdapterError(f"task {task.name!r}", f"is refused, no bundle was written: {about['reason']}",
                               "label more texts, or do without: the rival is free")
        out = options.out or folder
        add_task(folder, out, task.name, Path(place) / task.name, about, key,
                 Path(trusted) if trusted else None)
    print(to_json({"task": task.name, "bundle": str(out), **about}))


def evaluate_task(options: argparse.Namespace) -> None:
    """Print how well a bundle answers labels that it did not learn from, as JSON."""
    if options.task is None or options.labels is None:
        raise RequestError("options", "neither --test nor --task with --labels is given", "see recsys evaluate --help")
    from recsys_core.tasks import KINDS

    bundle = load_bundle(options)
    task = _read_task(options, bundle)
    about = bundle.tasks.get(task.name, {})
    if not about.get("proven") or about["kind"] != task.kind:
        raise RequestError("task", f"the bundle has no proven task {task.name!r} of {task.kind}", "recsys adapt makes one")
    asked = task.test or task.train
    adapter, reader = bundle.parts.labelled.adapter(task.name), bundle.parts.labelled.reader
    print(to_json({"task": task.name, "kind": task.kind, "split": "test" if task.test else "all", "examples": len(asked),
                   **KINDS[task.kind].measures(adapter, reader, asked)}))


def label_next(options: argparse.Namespace) -> None:
    """Print the texts whose labels would help most, as JSON lines, most helpful first; of a new task typical ones."""
    from recsys_core.tasks import clean_text, propose

    if options.n < 1:
        raise RequestError("n", f"{options.n} is less than 1", "ask for at least one text")
    bundle = load_bundle(options)
    about = bundle.tasks.get(options.task, {"proven": False})
    if about["proven"] and about["kind"] != "classes":
        raise RequestError("task", f"{options.task!r} is one of {about['kind']}", "name a task of classes, or a new one")
    texts = list(dict.fromkeys(clean_text(text, f"{options.texts}, text {place}")
                               for place, text in enumerate(_read_texts(options.texts)) if text and text.strip()))
    parts = bundle.parts.labelled
    adapter = parts.adapter(options.task) if about["proven"] else None
    for place in propose(adapter, parts.reader, texts, min(options.n, len(texts))):
        print(to_json({"text": texts[place]}))


def _read_task(options: argparse.Namespace, bundle: Bundle) -> Task:
    """The task that the options name, out of their labels.

    Raises:
        DataError: the file holds no rows of it.
    """
    from recsys_core.tasks import read_tasks

    read = read_tasks(_read_labels(options.labels, options.task), bundle.catalogue.items)
    own = read.aside.rows(named=True)
    if options.task in read.faults:
        raise DataError(str(options.labels), f"task {options.task!r}: {read.faults[options.task]}", "correct the labels")
    if options.task not in read.tasks:
        first = next((f"row {row['row']}: {row['reason']}" for row in own), "there are none")
        raise DataError(str(options.labels), f"no rows of task {options.task!r} can be used; {first}", "correct the labels")
    if own:
        logging.getLogger(__name__).warning("%d of the rows are set aside, e.g. row %d: %s", len(own), own[0]["row"],
                                            own[0]["reason"])
    return read.tasks[options.task]


def _read_labels(path: Path, task: str) -> pl.DataFrame:
    """A task's rows of a file in any form that a shop may deliver; without a column `task` all rows are the task's.

    Raises:
        ShopError: the file cannot be read, or lacks the column label.
    """
    import polars as pl

    from recsys_core.ingestion import ShopConfig, refusing, to_closed_table
    from recsys_core.reading import read_table

    with refusing(str(path)):
        rows = read_table(path, path.name).rows
        if "task" not in rows.columns:
            rows = rows.with_columns(task=pl.lit(task))
        labels = to_closed_table(rows, "labels", ShopConfig(), str(path))
    return labels.filter(pl.col("task").str.strip_chars() == task)


def _read_texts(path: Path) -> list[str]:
    """Lines of a text file, or the column text of a table."""
    from recsys_core.reading import read_table

    if path.suffix in ("", ".txt"):
        return path.read_text("utf-8", "replace").splitlines()
    rows = read_table(path, path.name).rows
    if "text" not in rows.columns:
        raise DataError(str(path), f"has no column text, but {', '.join(rows.columns)}", "name the column text")
    return [str(text) for text in rows["text"].drop_nulls().to_list()]


def _signing_key(folder: Path) -> Path | None:
    """The key that the environment names, else for a bundle that was signed the home's own; None: neither is there."""
    from recsys_core.signatures import PRIVATE_KEY, SIGNATURE

    if named := os.environ.get(SIGNING_KEY):
        return Path(named)
    own = home_folder() / "keys" / PRIVATE_KEY
    return own if own.is_file() and (folder / SIGNATURE).is_file() else None
