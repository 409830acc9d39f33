"""Whether what lies in the champion's place may serve: asked by whoever serves, so it loads no model and no table."""

from __future__ import annotations

from pathlib import Path

from recsys_core.artefacts import file_hash
from recsys_core.errors import BundleError
from recsys_core.release.log import ReleaseLog

CHAMPION, RELEASE, MANIFEST = "champion", "release", "manifest.json"


def released_champion(home: Path) -> Path:
    """The champion's folder, once its manifest is found among those that passed.

    Raises:
        BundleError: there is none, or nobody let it pass.
    """
    folder, entries = home / CHAMPION, ReleaseLog.read(home / RELEASE)
    found = manifest_hash(folder)
    if not found:
        kinds = [f"{entry.bundle[:12]} was {kind}" for kind, entry in entries.waiting().items()]
        raise BundleError(str(folder), f"nothing was promoted yet{': ' if kinds else ''}{', '.join(kinds)}",
                          "see `recsys review`, run a cycle, or name a bundle with --bundle")
    if not entries.passed(found):
        raise BundleError(str(folder), f"{found[:12]} has no stored passing verdict in {home / RELEASE}",
                          "run a cycle, or name a bundle with --bundle")
    return folder


def manifest_hash(folder: Path) -> str:
    """What names a bundle: SHA-256 of its manifest; empty where there is none."""
    try:
        return file_hash(folder / MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return ""
