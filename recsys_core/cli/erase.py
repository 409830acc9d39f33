"""`recsys erase`, `recsys rekey` and `recsys pseudonym`: under which names shoppers are stored, and how one goes from there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.cli.bundles import home_folder
from recsys_core.errors import RecsysError

if TYPE_CHECKING:
    from recsys_core.collection import Sessions


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    erased = commands.add_parser("erase", help="remove a shopper from everything below RECSYS_HOME and keep them out")
    erased.add_argument("user", help="the shop's id")
    erased.set_defaults(run=erase)
    renamed = commands.add_parser("rekey", help="rename what the service collected under the previous user key, or under none")
    renamed.set_defaults(run=rekey)
    named = commands.add_parser("pseudonym", help="the names of shoppers in tables and daily lists, one a line")
    named.add_argument("user", nargs="*", help="the shop's ids; none: read from stdin, one a line")
    named.set_defaults(run=pseudonym)


def erase(options: argparse.Namespace) -> None:
    """Print what was removed and what the next cycle makes again."""
    from recsys_core.deployment import erase_user, lines_of
    from recsys_core.pseudonyms import UserKeys
    from recsys_core.release import Promoter
    from recsys_core.signatures import PRIVATE_KEY

    home, named = home_folder(), os.environ.get("RECSYS_SIGNING_KEY")
    key = Path(named) if named else home / "keys" / PRIVATE_KEY
    found = erase_user(home, options.user, _sessions(home), key if key.is_file() else None,
                       UserKeys.from_environment())
    Promoter(home).follow_erasure()
    print("\n".join(lines_of(found)))
    print("the shop's own files are not touched; whatever they hold of the shopper is not read any more")


def rekey(options: argparse.Namespace) -> None:
    """Print what was renamed, and what cannot be."""
    from recsys_core.artefacts import one_cycle
    from recsys_core.collection import rekey_collected
    from recsys_core.ingestion import open_shop
    from recsys_core.pseudonyms import MAKE_ONE, PRESENT, UserKeys

    home, keys = home_folder(), UserKeys.from_environment()
    if keys.present is None:
        raise RecsysError(PRESENT, "is not set, so shoppers keep their own ids", MAKE_ONE)
    profile: Any = os.environ.get("RECSYS_PROFILE") or "full"
    with one_cycle(home):
        found = rekey_collected(home, open_shop(os.environ.get("RECSYS_SHOP"), profile), keys, _sessions(home))
    print(f"{found['lines']:,} collected lines, {found['sessions']:,} sessions and {found['erased']:,} erasures were renamed; "
          f"the shop's files hold {found['shoppers']:,} shoppers")
    if found["unknown"]:
        print(f"{found['unknown']:,} lines name shoppers whom the shop's files do not hold: they keep their former pseudonyms")


def pseudonym(options: argparse.Namespace) -> None:
    """Print under which name each shopper is stored."""
    from recsys_core.pseudonyms import UserKeys

    keys = UserKeys.from_environment()
    for user in options.user or map(str.strip, sys.stdin):
        print(keys.stored(user))


def _sessions(home: Path) -> Sessions | None:
    """Where the service remembers shoppers."""
    from recsys_core.collection import RedisSessions, SessionConfig, SqliteSessions

    if url := os.environ.get("RECSYS_REDIS_URL"):
        return RedisSessions.connect(url, SessionConfig())
    file = home / "collected" / "sessions.sqlite"
    return SqliteSessions(file, SessionConfig()) if file.is_file() else None
