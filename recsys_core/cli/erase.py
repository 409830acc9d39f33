"""`recsys erase`: a shopper goes from everything below RECSYS_HOME."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.cli.bundles import home_folder

if TYPE_CHECKING:
    from recsys_core.collection import Sessions


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    erased = commands.add_parser("erase", help="remove a shopper from everything below RECSYS_HOME and keep them out")
    erased.add_argument("user", help="the shop's id")
    erased.set_defaults(run=erase)


def erase(options: argparse.Namespace) -> None:
    """Print what was removed and what the next cycle makes again."""
    from recsys_core.deployment import erase_user, lines_of
    from recsys_core.release import Promoter
    from recsys_core.signatures import PRIVATE_KEY

    home, named = home_folder(), os.environ.get("RECSYS_SIGNING_KEY")
    key = Path(named) if named else home / "keys" / PRIVATE_KEY
    found = erase_user(home, options.user, _sessions(home), key if key.is_file() else None)
    Promoter(home).follow_erasure()
    print("\n".join(lines_of(found)))
    print("the shop's own files are not touched; whatever they hold of the shopper is not read any more")


def _sessions(home: Path) -> Sessions | None:
    """Where the service remembers shoppers."""
    from recsys_core.collection import RedisSessions, SessionConfig, SqliteSessions

    if url := os.environ.get("RECSYS_REDIS_URL"):
        return RedisSessions.connect(url, SessionConfig())
    file = home / "collected" / "sessions.sqlite"
    return SqliteSessions(file, SessionConfig()) if file.is_file() else None
