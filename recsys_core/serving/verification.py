"""What a bundle must look like before one byte of it is interpreted.

The manifest lists every file with its size and SHA-256. A missing, extra, truncated, changed, linked or pickled file is
refused first, deserialising comes after. Hashes tell accidents; whoever can write the folder can write its hashes, too.
Where a public key is trusted, the signature over all files, the manifest among them, is checked before the manifest is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from recsys_core.artefacts import hash_files
from recsys_core.errors import BundleError
from recsys_core.signatures import SIGNATURE, signed_hashes

FORMAT = 4
MANIFEST = "manifest.json"
SUFFIXES = (".json", ".parquet", ".safetensors", ".onnx", ".faiss", ".txt", ".md")
REMAKE = "publish the bundle again, or restore it from the registry"
TRUSTED_KEY = "RECSYS_TRUSTED_KEY"  # the variable that names the public key of whoever may sign
# How a file of a kind begins. Pickles begin otherwise, those in the old text protocols included.
BEGINS = {".parquet": (b"PAR1",), ".onnx": (b"\x08",), ".faiss": (b"IwPf",), ".json": (b"{", b"[")}


def verify_bundle(folder: Path, key: Path | None = None) -> dict[str, Any]:
    """Check every file of a bundle against its manifest, and this against the signature, and return the manifest.

    Args:
        folder: the bundle.
        key: PEM file of the public key whose signature is asked for; None: an unsigned bundle will do.

    Raises:
        BundleError: no manifest, another format, or any file that is missing, extra, truncated, changed, a link, a pickle,
            of a kind no bundle holds, or not what the trusted key signed.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleError(str(folder), f"there is no {MANIFEST}", "give the folder of a bundle, or make one")
    present = set(list_files(folder))
    text = (folder / MANIFEST).read_bytes()
    signed = None if key is None else signed_hashes(folder, key)
    if signed is not None and signed.get(MANIFEST) != hashlib.sha256(text).hexdigest():
        raise BundleError(str(folder), f"{MANIFEST} is not the one that was signed", REMAKE)
    manifest, entries = _read_manifest(folder, text)
    listed = {name: digest for name, (_, digest) in entries.items()}
    if signed is not None and (odd := _differing(listed, {name: signed[name] for name in signed.keys() - {MANIFEST}})):
        raise BundleError(str(folder), f"{odd} is not as it was signed", REMAKE)
    _check_files(folder, present - {MANIFEST, SIGNATURE}, entries)
    if SIGNATURE in present:
        check_kind(folder / SIGNATURE, SIGNATURE)
    return manifest


def _read_manifest(folder: Path, text: bytes) -> tuple[dict[str, Any], dict[str, tuple[int, str]]]:
    """The manifest, and size and SHA-256 by file."""
    try:
        manifest = json.loads(text)
        found_format, listed = manifest["format"], dict(manifest["files"])
        entries = {name: (int(entry["size"]), str(entry["sha256"])) for name, entry in listed.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(str(folder / MANIFEST), f"cannot be read ({error})", REMAKE) from None
    if found_format != FORMAT:
        raise BundleError(str(folder), f"has format {found_format}, this version reads {FORMAT}",
                          "make the bundle with this version")
    return manifest, entries


def _differing(one: dict[str, str], other: dict[str, str]) -> str | None:
    """The first name that two listings of hashes do not agree on."""
    return min((name for name in one.keys() | other.keys() if one.get(name) != other.get(name)), default=None)


def _check_files(folder: Path, present: set[str], entries: dict[str, tuple[int, str]]) -> None:
    """Compare what lies in the folder with what the manifest lists; extra files first, then cheap checks, then hashes.

    Of several culprits the first by name is told, whichever thread finds its own first.
    """
    for name in sorted(present - entries.keys()):
        raise BundleError(str(folder), f"{name} is not in the manifest", "remove it, or publish again")
    for name in sorted(entries.keys() - present):
        raise BundleError(str(folder), f"{name} is missing", REMAKE)
    for name, (size, _) in sorted(entries.items()):
        check_kind(folder / name, name)
        found = (folder / name).stat().st_size
        if found != size:
            raise BundleError(str(folder), f"{name} has {found} bytes, the manifest says {size}", REMAKE)
    listed = {name: digest for name, (_, digest) in entries.items()}
    if (changed := _differing(listed, hash_files(folder, entries))) is not None:
        raise BundleError(str(folder), f"{changed} was changed (its SHA-256 differs)", REMAKE)


def list_files(folder: Path) -> list[str]:
    """Names of all files below `folder`, relative, sorted; links and devices are refused: they can lead anywhere."""
    names = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BundleError(str(folder), f"{name} is a link", "copy the file instead")
        if path.is_file():
            names.append(name)
        elif not path.is_dir():
            raise BundleError(str(folder), f"{name} is no regular file", "remove it")
    return sorted(names)


def check_kind(path: Path, name: str) -> None:
    """Refuse files of kinds a bundle never holds, and pickles under any name.

    Raises:
        BundleError: naming the file.
    """
    suffix = ".json" if name == SIGNATURE else path.suffix
    if suffix not in SUFFIXES:
        raise BundleError(name, f"'{path.suffix}' files do not belong in a bundle", f"use one of {SUFFIXES}")
    with open(path, "rb") as handle:
        head = handle.read(9)
    if suffix == ".safetensors":
        # Eight bytes of header length may look like anything, a pickle's magic included; JSON follows.
        pickled = len(head) < 9 or head[8:9] != b"{"
    else:
        pickled = (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or head[:4] == b"PK\x03\x04" \
            or not head.startswith(BEGINS.get(suffix, (b"",)))
    if pickled:
        raise BundleError(name, "is a pickle or not the format its name says", "nothing here reads pickles")
