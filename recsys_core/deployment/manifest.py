"""The manifest of a bundle: what it is, where it comes from, and the hash of every file."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recsys_core.artefacts import hash_files, write_json
from recsys_core.serving import FORMAT, MANIFEST, check_kind, list_files

# Whose arithmetic or file formats an answer depends on.
PACKAGES = ("fewshot-recsys", "numpy", "polars", "duckdb", "safetensors", "onnxruntime",
            "tokenizers")


def write_manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Hash every file below `folder` and write manifest.json beside them.

    Args:
        about: everything else the manifest says; JSON, without NaN.

    Returns:
        the manifest.

    Raises:
        BundleError: a file of a kind no bundle holds, a pickle or a link.
    """
    names = [name for name in list_files(folder) if name != MANIFEST]
    for name in names:
        check_kind(folder / name, name)
    files = {name: {"sha256": digest, "size": (folder / name).stat().st_size}
             for name, digest in hash_files(folder, names).items()}
    manifest = {**about, "format": FORMAT, "versions": package_versions(), "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def code_commit() -> str | None:
    """The git commit of this code, with "-dirty" where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    ours = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]  # not that of a repository around it
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        subprocess.run(ours, check=True, capture_output=True)
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages an answer depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[package] = "not installed"
    return found
