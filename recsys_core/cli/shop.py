"""Commands about a shop's folder: `recsys check-shop`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    check = commands.add_parser("check-shop", help="what lies in a shop's folder, and a shop.yaml to start from")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=check_shop)


def check_shop(options: argparse.Namespace) -> None:
    """Print what lies in a shop's folder."""
    from recsys_core.inspection import inspect_shop

    print(inspect_shop(options.folder))
