"""Which bundle a command asks, and how it prints what it finds."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the runtime of a bundle is only loaded by the commands that need one
    from recsys_core.serving import Bundle


def home_folder() -> Path:
    """Where the chain leaves what it makes: $RECSYS_HOME, or var."""
    return Path(os.environ.get("RECSYS_HOME") or "var")


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add the option --bundle."""
    parser.add_argument("--bundle", type=Path, default=None, help="folder of the bundle (RECSYS_HOME/bundle)")


def bundle_folder(options: argparse.Namespace) -> Path:
    """The folder that --bundle names, or the chain's."""
    return options.bundle or home_folder() / "bundle"


def load_bundle(options: argparse.Namespace) -> Bundle:
    """The bundle that --bundle names, verified."""
    from recsys_core.serving import Bundle

    return Bundle.load(bundle_folder(options))


def to_json(value: Any, **options: Any) -> str:
    """JSON in the letters that stdout can write; others are escaped, not lost."""
    everything = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not everything, **options)
