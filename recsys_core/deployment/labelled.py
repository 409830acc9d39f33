"""Labelled tasks in a bundle: the proven ones of the chain, and one more in a bundle that is there."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.artefacts import read_json, staged_folder
from recsys_core.deployment.card import CARD
from recsys_core.deployment.manifest import write_manifest
from recsys_core.deployment.tables import write_attributes
from recsys_core.errors import BundleError
from recsys_core.serving import ITEMS, MANIFEST, STUDENT, open_parts, verify_bundle
from recsys_core.signatures import SIGNATURE, sign_folder
from recsys_core.student import ONNX
from recsys_core.tasks import ADAPTED, KINDS, TASKS, extract_attributes

log = logging.getLogger(__name__)

SECTION = "## Labelled tasks"
MADE_ANEW = ("format", "versions", "files")  # of a manifest


def ship_tasks(staging: Path, adapted: Path | None) -> dict[str, dict[str, Any]]:
    """Copy the proven tasks into a bundle that is being written, after its student.

    Args:
        staging: the bundle.
        adapted: what `adapt_tasks` wrote; None: the shop has no labels.

    Returns:
        what the manifest says of every task that was tried.

    Raises:
        AdapterError: a task was made with another encoder than the student's.
    """
    about: dict[str, dict[str, Any]] = {} if adapted is None else read_json(adapted / ADAPTED)["tasks"]
    for name, found in about.items():
        if found["proven"] and adapted is not None:
            shutil.copytree(adapted / name, staging / TASKS / name)
            _check_task(staging, name, found)
    return about


def add_task(bundle: Path, out: Path, name: str, adapter: Path, about: Mapping[str, Any], key: Path | None,
             trusted: Path | None = None) -> dict[str, Any]:
    """Write a copy of a bundle with one more task; an older one of the name is replaced. One of spans reads all items anew.

    Args:
        bundle: its folder; what lies there is verified first.
        out: where the copy goes, in one rename; may be the same folder.
        name: the task's.
        adapter: what `adapt_task` wrote.
        about: what it found.
        key: PEM file of the private key that signs the copy. None leaves it unsigned: the old signature is over other files.
        trusted: PEM file of the public key that must have signed the copy; None: nobody must.

    Returns:
        the manifest.

    Raises:
        BundleError: the bundle does not verify, or its copy would not.
        AdapterError: the task was made with another encoder than the bundle's.
    """
    old = verify_bundle(bundle)
    kept = {part: value for part, value in old.items() if part not in MADE_ANEW}
    with staged_folder(out) as staging:
        shutil.copytree(bundle, staging, dirs_exist_ok=True, ignore=_without_vows)
        shutil.rmtree(staging / TASKS / name, ignore_errors=True)
        shutil.copytree(adapter, staging / TASKS / name)
        _check_task(staging, name, about)
        kept["tasks"] = {**kept["tasks"], name: dict(about)}
        if "spans" in (about["kind"], old["tasks"].get(name, {}).get("kind")):
            items = pl.read_parquet(staging / ITEMS, glob=False)
            extracted = extract_attributes(staging / TASKS, kept["tasks"], staging / STUDENT, items)
            kept["attributes"] = write_attributes(staging, items, extracted)
        (staging / CARD).write_text(tell_tasks((staging / CARD).read_text("utf-8"), kept["tasks"]), encoding="utf-8")
        manifest = write_manifest(staging, kept)
        open_parts(staging, manifest)
        if key is not None:
            sign_folder(staging, key)
        if key is not None or trusted is not None:
            verify_bundle(staging, trusted)
        elif (bundle / SIGNATURE).is_file():
            log.warning("%s was signed, %s is not: sign it again (recsys sign --bundle %s --key private.pem)", bundle, out, out)
    return manifest


def tell_tasks(card: str, tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """A model card whose section about labelled tasks says what these are; one without the section gets it at its end.

    >>> tell_tasks("# tiny\\n", {"intent": {"kind": "classes", "proven": True, "reason": "0.9 beats 0.5", "examples": 24}})
    '# tiny\\n\\n## Labelled tasks\\n\\n- intent (classes, 24 examples): proven: 0.9 beats 0.5\\n'
    """
    lines = [f"- {name} ({one.get('kind', 'no kind')}, {one.get('examples', 0):,} examples): "
             f"{'proven' if one['proven'] else 'refused'}: {' '.join(str(one['reason']).split())}"
             for name, one in sorted(tasks.items())] or ["None was learned."]
    section = "\n".join([SECTION, "", *lines, ""])
    if SECTION not in card:
        return f"{card.rstrip()}\n\n{section}"
    return re.sub(rf"^{SECTION}\n.*?(?=^## |\Z)", lambda _: f"{section}\n", card, count=1, flags=re.DOTALL | re.MULTILINE)


def _check_task(staging: Path, name: str, about: Mapping[str, Any]) -> None:
    """Read a task as serving will."""
    from recsys_core.student import OnnxEncoder

    if not (staging / STUDENT / ONNX).is_dir():
        raise BundleError(f"task {name!r}", "the student has no transformer to read its texts", "distil the student again")
    KINDS[about["kind"]].load(staging / TASKS / name, OnnxEncoder.load(staging / STUDENT / ONNX))


def _without_vows(folder: str, names: list[str]) -> set[str]:
    """What a copy must make anew: manifest and signature at the top."""
    return {MANIFEST, SIGNATURE} & set(names)
