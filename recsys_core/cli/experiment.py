"""Commands about experiments: `recsys experiment report`."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import to_json
from recsys_core.errors import RequestError


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    kinds = commands.add_parser("experiment", help="what an experiment found").add_subparsers(dest="kind", required=True)
    told = kinds.add_parser("report", help="the difference between variants, with bounds that hold at every look")
    told.add_argument("name", help="as in experiments.yaml of RECSYS_HOME")
    told.add_argument("--collected", type=Path, help="folder of exposures and events (RECSYS_HOME/collected)")
    told.add_argument("--metric", choices=("click", "purchase", "revenue"), default="click", help="what counts per user")
    told.add_argument("--until", help="leave out what was logged later, ISO 8601")
    told.add_argument("--json", action="store_true", help="one JSON object")
    told.set_defaults(run=report)


def report(options: argparse.Namespace) -> None:
    """Print what the logs say."""
    from recsys_core.experiments import report_experiment

    home = Path(os.environ.get("RECSYS_HOME") or "var")
    found = report_experiment(home, options.name, options.collected or home / "collected", options.metric,
                              _moment(options.until))
    print(to_json(found.to_json()) if options.json else "\n".join(found.lines()))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError("--until", f"{text!r} is no time", "write it as 2024-03-01 or 2024-03-01T12:00:00+01:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
