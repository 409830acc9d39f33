"""`recsys`: ask a published bundle from the command line."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from recsys_core.errors import DataError, RecsysError, RequestError

if TYPE_CHECKING:  # the runtime of a bundle is only loaded by the commands that need one
    from recsys_core.serving.answers import Recommendations
    from recsys_core.serving.bundle import Bundle


def default_bundle() -> Path:
    """Where the chain leaves its bundle: $RECSYS_HOME/bundle, or var/bundle."""
    return Path(os.environ.get("RECSYS_HOME") or "var") / "bundle"


class _Parser(argparse.ArgumentParser):
    """A wrong option is one line, too."""

    def error(self, message: str) -> NoReturn:
        raise RequestError("options", message, f"see {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = _Parser(prog="recsys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = _Parser(add_help=False)
    common.add_argument("--bundle", type=Path, default=None, help="folder of the bundle (RECSYS_HOME/bundle)")
    answer = _Parser(add_help=False)
    answer.add_argument("-k", "--k", type=int, default=10, help="how many items")
    answer.add_argument("--segment", help="a segment's or family's name, or auto")
    answer.add_argument("--context", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    answer.add_argument("--shelf", help="a shelf's name: only its items")
    who = _Parser(add_help=False)
    who.add_argument("--history", default="", help="item ids, oldest first, with commas between")
    who.add_argument("--user-id", help="an id the bundle may know attributes of")
    who.add_argument("--at", help="time of the request, ISO 8601")
    who.add_argument("--filter", action="append", default=[], metavar="COLUMN=VALUE", help="may be repeated")
    who.add_argument("--json", action="store_true", help="one JSON object per line, reasons included")
    commands.add_parser("recommend", parents=[common, answer, who], help="rank items for a shopper") \
        .add_argument("--exclude-seen", action="store_true", help="leave out items of the history")
    commands.add_parser("search", parents=[common, answer, who], help="rank items for a query") \
        .add_argument("query")
    commands.add_parser("inspect", parents=[common], help="what a bundle is and how good, segment by segment")
    evaluate = commands.add_parser("evaluate", parents=[common, answer], help="metrics over test rows")
    evaluate.add_argument("--test", type=Path, required=True, help="Parquet with history (list) and target")
    evaluate.add_argument("--exclude-seen", action="store_true", help="leave out items of the history")
    commands.add_parser("check-shop", help="what lies in a shop's folder, and a shop.yaml to start from") \
        .add_argument("folder", type=Path)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 1 after one line on stderr about what was wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a title must not end a command whose locale lacks its letters
    try:
        options = make_parser().parse_args(arguments)
        options.bundle = getattr(options, "bundle", None) or default_bundle()
        COMMANDS[options.command](options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; what is buffered goes nowhere, so that nothing complains at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (RecsysError, OSError) as error:
        print(f"recsys: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def recommend(options: argparse.Namespace) -> None:
    """Print a shopper's list."""
    bundle = _load(options.bundle)
    _print_answers(bundle, bundle.recommend(
        _history(options), options.k, user_id=options.user_id, at=options.at, segment=options.segment,
        filters=_filters(options, bundle), exclude_seen=options.exclude_seen, context=_context(options), shelf=options.shelf),
        options.json)


def search(options: argparse.Namespace) -> None:
    """Print a query's list."""
    bundle = _load(options.bundle)
    _print_answers(bundle, bundle.search(
        options.query, options.k, history=_history(options), user_id=options.user_id, at=options.at,
        segment=options.segment, filters=_filters(options, bundle), context=_context(options), shelf=options.shelf), options.json)


def inspect(options: argparse.Namespace) -> None:
    """Print the manifest, the segments with their reasons, the metrics and the self-test."""
    from recsys_core.serving.golden import self_test

    bundle = _load(options.bundle)
    manifest = bundle.manifest
    lineage = ", ".join(f"{key} {value}" for key, value in sorted(manifest["lineage"].items()))
    size = sum(entry["size"] for entry in manifest["files"].values())
    print(f"bundle    {options.bundle}: {manifest['items']:,} items, {len(manifest['files'])} files, "
          f"{size / 1e6:.1f} MB")
    print(f"lineage   {lineage}")
    for title in ("windows", "metrics", "lock", "versions", "licences"):
        print(f"{title:<9} {_json(manifest[title], sort_keys=True)}")
    for name, segment in sorted(bundle.segments.items()):
        whom = f" for {', '.join(segment['audiences'])}" if segment["audiences"] else ""
        print(f"segment   {name} ({segment['kind']}): {segment['decision']}{whom}: {segment['reason']}")
    print(f"shelves   {', '.join(bundle.parts.shelves.names) or 'none'}")
    faults = self_test(bundle)
    print("self-test " + ("; ".join(faults) if faults else "answers the golden requests as when it was made"))


def evaluate(options: argparse.Namespace) -> None:
    """Print metrics as JSON."""
    import polars as pl

    from recsys_core.serving.evaluate import evaluate_bundle

    bundle = _load(options.bundle)
    try:
        test = pl.read_parquet(options.test, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = str(error).partition("\n")[0]
        raise DataError(str(options.test), f"cannot be read ({why})",
                        "give a Parquet file with history and target") from None
    print(_json(evaluate_bundle(bundle, test, options.k, options.segment, options.exclude_seen, _context(options),
                                     options.shelf)))


def check_shop(options: argparse.Namespace) -> None:
    """Print what lies in a shop's folder."""
    from recsys_core.inspection import inspect_shop

    print(inspect_shop(options.folder))


def _load(folder: Path) -> Bundle:
    from recsys_core.serving.bundle import Bundle

    return Bundle.load(folder)


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
            print(_json(vars(answer)))
        return
    for place, answer in enumerate(answers, 1):
        why = ", ".join(f"{part} {value:+.2f}" for part, value in
                        sorted(answer.reasons.items(), key=lambda pair: -abs(pair[1]))[:3])
        title = bundle.catalogue.items["title"][bundle.catalogue.row_of[answer.item_id]]
        print(f"{place:>3}  {answer.item_id:<14} {answer.score:>8.3f}  {title}  ({why})")
    if answers:
        print(f"segment: {answers[0].segment or 'base'}" +
              (f"; {answers[0].fallback}" if answers[0].fallback else ""))
    else:
        print(f"no item fits the request: {answers.fallback}")


def _json(value: Any, **options: Any) -> str:
    """JSON in the letters that stdout can write; others are escaped, not lost."""
    everything = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not everything, **options)


COMMANDS = {"recommend": recommend, "search": search, "inspect": inspect, "evaluate": evaluate, "check-shop": check_shop}

if __name__ == "__main__":
    sys.exit(main())
