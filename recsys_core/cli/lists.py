"""Commands that write tables of answers: `recsys recommend-all`."""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import add_bundle, load_bundle
from recsys_core.errors import DataError, RequestError


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    everybody = commands.add_parser("recommend-all", help="a list for every shopper with a history, as Parquet")
    add_bundle(everybody)
    everybody.add_argument("--events", type=Path, help="Parquet of interactions (the table in RECSYS_HOME/features)")
    everybody.add_argument("--out", type=Path, help="folder to write, or to bring up to date (RECSYS_HOME/daily_recommendations)")
    everybody.add_argument("-k", "--k", type=int, default=10, help="how many items")
    everybody.add_argument("--rules", type=Path, help="file of business rules (RECSYS_HOME/rules.yaml)")
    everybody.add_argument("--since", help="local day: ask again only for shoppers with events or thumbs from then on")
    everybody.set_defaults(run=recommend_all)


def recommend_all(options: argparse.Namespace) -> None:
    """Write everybody's list, and print how many changed."""
    import polars as pl

    from recsys_core.answering import shop_rules
    from recsys_core.artefacts import staged_folder
    from recsys_core.collection import read_unwanted
    from recsys_core.deployment import DailyConfig, write_daily_lists
    from recsys_core.features import read_features
    from recsys_core.pseudonyms import UserKeys
    from recsys_core.schema import INTERACTIONS

    home = Path(os.environ.get("RECSYS_HOME") or "var")
    out = options.out or home / "daily_recommendations"
    if options.k < 1:
        raise RequestError("k", f"{options.k} is less than 1", "ask for at least one item")
    since, rules, bundle = _day(options.since), shop_rules(home, options.rules), load_bundle(options)
    try:
        events = pl.scan_parquet(options.events, glob=False) if options.events else \
            read_features(home / "features", "interactions")
        interactions = events.select(pl.col(name).cast(kind) for name, kind in INTERACTIONS.items())
        interactions.head(1).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        why = str(error).partition("\n")[0]
        raise DataError(str(options.events or home / "features"), f"cannot be read ({why})",
                        "give a Parquet file with the columns of the chain's interactions") from None
    keys = UserKeys.from_environment()
    if keys.present is not None and options.events:  # the chain's own table holds pseudonyms already
        given = interactions.collect()
        interactions = given.with_columns(keys.rename(given["user_id"])).lazy()
    with staged_folder(out) as folder:
        facts = write_daily_lists(folder, bundle, interactions, out, DailyConfig(k=options.k), since, rules,
                                  read_unwanted(home / "collected", keys))
    print(f"{out}: {facts['users']:,} lists, {facts['asked']:,} asked for, {facts['changed']:,} changed")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError("--since", f"{text!r} is no day", "write it as 2024-03-01") from None
