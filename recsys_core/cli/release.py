"""Commands about what may serve: `recsys rollback` and `recsys review`."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import home_folder
from recsys_core.errors import RequestError

SHOWN = 12  # letters of a hash


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    back = commands.add_parser("rollback", help="make the champion before this one champion again")
    back.add_argument("--to", metavar="HASH", help="first letters of the manifest's hash of another earlier champion")
    asked = commands.add_parser("review", help="what was held, refused or rolled back, and why; or decide about it")
    asked.add_argument("hash", nargs="?", metavar="HASH", help="first letters of its manifest's hash; without it, all are listed")
    chosen = asked.add_mutually_exclusive_group()
    chosen.add_argument("--approve", action="store_true", help="make it champion")
    chosen.add_argument("--reject", action="store_true", help="and never promote the same content again")
    for one, run in ((back, roll_back), (asked, review)):
        one.add_argument("--home", type=Path, default=None, help="RECSYS_HOME")
        one.add_argument("--why", default="", metavar="TEXT", help="the reason, for the log")
        one.set_defaults(run=run)


def roll_back(options: argparse.Namespace) -> None:
    """Move the champion back, and say so."""
    from recsys_core.release import Promoter

    entry = Promoter(options.home or home_folder()).roll_back(_who(), options.why, options.to)
    print(f"champion   {entry.bundle[:SHOWN]}, back from {entry.champion[:SHOWN]}; that content is not promoted again unless "
          "somebody approves it")


def review(options: argparse.Namespace) -> None:
    """List what waits, or decide about one of them."""
    from recsys_core.release import Promoter

    promoter = Promoter(options.home or home_folder())
    if options.approve or options.reject:
        if options.hash is None:
            raise RequestError("recsys review", "no bundle is named", "recsys review HASH --approve --why TEXT")
        decided = promoter.decide(options.hash, options.approve, _who(), options.why)
        print(f"{decided.what:<10} {decided.bundle[:SHOWN]}{'; it is champion now' if options.approve else ''}")
        return
    entries = promoter.log()
    print(f"champion   {' after '.join(one[:SHOWN] for one in reversed(entries.champions())) or 'none'}")
    for kind, entry in entries.waiting().items():
        if entry.bundle.startswith(options.hash or ""):
            lines = "".join(f"\n{'':<11}- {reason}" for reason in entry.reasons)
            print(f"{kind:<10} {entry.bundle[:SHOWN]}, judged {entry.at[:16].replace('T', ' ')} UTC{lines}")


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"
