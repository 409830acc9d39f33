"""Commands that ask a bundle: `recsys recommend`, `search`, `inspect` and `evaluate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.cli.bundles import add_bundle, bundle_folder, load_bundle, to_json
from recsys_core.cli.tasks import evaluate_task
from recsys_core.errors import DataError

if TYPE_CHECKING:  # the runtime of a bundle is only loaded by the commands that need one
    from recsys_core.answering import BoundRules
    from recsys_core.serving import Bundle, Recommendations


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    ranked = commands.add_parser("recommend", help="rank items for a shopper")
    _add_asking(ranked, recommend)
    ranked.add_argument("--exclude-seen", action="store_true", help="leave out items of the history")
    found = commands.add_parser("search", help="rank items for a query")
    _add_asking(found, search)
    found.add_argument("query")
    looked = commands.add_parser("inspect", help="what a bundle is and how good, segment by segment")
    add_bundle(looked)
    looked.set_defaults(run=inspect)
    judged = commands.add_parser("evaluate", help="metrics over test rows, or over the labels of a task")
    _add_answer(judged, evaluate)
    judged.add_argument("--test", type=Path, help="Parquet with history (list) and target")
    judged.add_argument("--task", help="a labelled task, in place of --test")
    judged.add_argument("--labels", type=Path, help="its labels; those of split test where there are any")
    judged.add_argument("--exclude-seen", action="store_true", help="leave out items of the history")


def _add_answer(parser: argparse.ArgumentParser, run: Any) -> None:
    add_bundle(parser)
    parser.set_defaults(run=run)
    parser.add_argument("-k", "--k", type=int, default=10, help="how many items")
    parser.add_argument("--segment", help="a segment's or family's name, or auto")
    parser.add_argument("--context", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument("--shelf", help="a shelf's name: only its items")


def _add_asking(parser: argparse.ArgumentParser, run: Any) -> None:
    _add_answer(parser, run)
    parser.add_argument("--history", default="", help="item ids, oldest first, with commas between")
    parser.add_argument("--user-id", help="an id the bundle may know attributes of")
    parser.add_argument("--at", help="time of the request, ISO 8601")
    parser.add_argument("--filter", action="append", default=[], metavar="COLUMN=VALUE", help="may be repeated")
    parser.add_argument("--rules", type=Path, help="YAML file of business rules")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, reasons included")


def recommend(options: argparse.Namespace) -> None:
    """Print a shopper's list."""
    bundle = load_bundle(options)
    _print_answers(bundle, bundle.recommend(
        _history(options), options.k, user_id=options.user_id, at=options.at, segment=options.segment,
        filters=_filters(options, bundle), exclude_seen=options.exclude_seen, context=_context(options), shelf=options.shelf,
        rules=_rules(options, bundle), explain=True), options.json)


def search(options: argparse.Namespace) -> None:
    """Print a query's list."""
    bundle = load_bundle(options)
    _print_answers(bundle, bundle.search(
        options.query, options.k, history=_history(options), user_id=options.user_id, at=options.at,
        segment=options.segment, filters=_filters(options, bundle), context=_context(options), shelf=options.shelf,
        rules=_rules(options, bundle), explain=True), options.json)


def inspect(options: argparse.Namespace) -> None:
    """Print the manifest, the segments with their reasons, the metrics and the self-test."""
    from recsys_core.monitoring import self_test

    bundle = load_bundle(options)
    manifest = bundle.manifest
    lineage = ", ".join(f"{key} {value}" for key, value in sorted(manifest["lineage"].items())
                        if not isinstance(value, dict))
    size = sum(entry["size"] for entry in manifest["files"].values())
    print(f"bundle    {bundle_folder(options)}: {manifest['items']:,} items, {len(manifest['files'])} files, "
          f"{size / 1e6:.1f} MB")
    print(f"lineage   {lineage}")
    for title in ("windows", "metrics", "lock", "versions", "licences"):
        print(f"{title:<9} {to_json(manifest[title], sort_keys=True)}")
    for name, segment in sorted(bundle.segments.items()):
        whom = f" for {', '.join(segment['audiences'])}" if segment["audiences"] else ""
        print(f"segment   {name} ({segment['kind']}): {segment['decision']}{whom}: {segment['reason']}")
    for name, task in sorted(bundle.tasks.items()):
        print(f"task      {name} ({task.get('kind', 'no kind')}): {'proven' if task['proven'] else 'refused'}: {task['reason']}")
    print(f"shelves   {', '.join(bundle.parts.shelves.names) or 'none'}")
    faults = self_test(bundle)
    print("self-test " + ("; ".join(faults) if faults else "answers the golden requests as what was trained"))


def evaluate(options: argparse.Namespace) -> None:
    """Print metrics as JSON."""
    if options.task is not None or options.test is None:
        return evaluate_task(options)
    import polars as pl

    from recsys_core.deployment import evaluate_bundle

    bundle = load_bundle(options)
    try:
        test = pl.read_parquet(options.test, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = str(error).partition("\n")[0]
        raise DataError(str(options.test), f"cannot be read ({why})",
                        "give a Parquet file with history and target") from None
    print(to_json(evaluate_bundle(bundle, test, options.k, options.segment, options.exclude_seen, _context(options),
                                     options.shelf)))


def _history(options: argparse.Namespace) -> list[str]:
    return [item.strip() for item in options.history.split(",") if item.strip()]


def _filters(options: argparse.Namespace, bundle: Bundle) -> dict[str, Any]:
    """COLUMN=VALUE options; a JSON list or object counts as one, and beside a column that is no text a number or a flag."""
    import polars as pl

    filters: dict[str, Any] = {}
    schema = bundle.catalogue.items.schema
    for column, value in _pairs(options.filter, "--filter", "COLUMN=VALUE"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = value
        is_text = column in schema and not (schema[column].is_numeric() or schema[column] == pl.Boolean)
        filters[column] = value if is_text and not isinstance(found, list | dict) else found
    return filters


def _rules(options: argparse.Namespace, bundle: Bundle) -> BoundRules | None:
    return bundle.bind_rules(options.rules) if options.rules else None


def _context(options: argparse.Namespace) -> dict[str, str]:
    return dict(_pairs(options.context, "--context", "NAME=VALUE"))


def _pairs(texts: list[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, found, value = text.partition("=")
        if not found:
            raise DataError(option, f"{text!r} has no =", f"write {form}")
        yield name, value


def _print_answers(bundle: Bundle, answers: Recommendations, as_json: bool) -> None:
    if as_json:
        for answer in answers:
            print(to_json(vars(answer)))
        return
    for place, answer in enumerate(answers, 1):
        title = bundle.catalogue.items["title"][bundle.catalogue.row_of[answer.item_id]]
        print(f"{place:>3}  {answer.item_id:<14} {answer.score:>8.3f}  {title}  ({answer.sentence})")
    if answers:
        print(f"segment: {answers[0].segment or 'base'}" +
              (f"; {answers[0].fallback}" if answers[0].fallback else ""))
    else:
        print(f"no item fits the request: {answers.fallback}")

