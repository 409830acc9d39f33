"""What a bundle must look like before one byte of it is interpreted.

The manifest lists every file with its size and SHA-256. A missing, extra, truncated, changed,
linked or pickled file is refused first, deserialising comes after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys_core.artefacts import file_hash, read_json
from recsys_core.errors import BundleError, RecsysError

FORMAT = 2
MANIFEST = "manifest.json"
SUFFIXES = (".json", ".parquet", ".safetensors", ".onnx", ".txt", ".md")
REMAKE = "publish the bundle again, or restore it from the registry"


def verify_bundle(folder: Path) -> dict[str, Any]:
    """Check every file of a bundle against its manifest and return the manifest.

    Raises:
        BundleError: no manifest, another format, or any file that is missing, extra, truncated,
            changed, a link, a pickle, or of a kind no bundle holds.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleError(str(folder), f"there is no {MANIFEST}", "give the folder of a bundle, or make one")
    try:
        manifest = read_json(folder / MANIFEST)
        found_format, listed = manifest["format"], dict(manifest["files"])
        entries = {name: (int(entry["size"]), str(entry["sha256"])) for name, entry in listed.items()}
    except (RecsysError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(str(folder / MANIFEST), f"cannot be read ({error})", REMAKE) from None
    if found_format != FORMAT:
        raise BundleError(str(folder), f"has format {found_format}, this version reads {FORMAT}",
                          "make the bundle with this version")
    present = set(list_files(folder)) - {MANIFEST}
    for name in sorted(present - entries.keys()):
        raise BundleError(str(folder), f"{name} is not in the manifest", "remove it, or publish again")
    for name in sorted(entries.keys() - present):
        raise BundleError(str(folder), f"{name} is missing", REMAKE)
    for name, (size, digest) in sorted(entries.items()):
        check_kind(folder / name, name)
        found = (folder / name).stat().st_size
        if found != size:
            raise BundleError(str(folder), f"{name} has {found} bytes, the manifest says {size}", REMAKE)
        if file_hash(folder / name) != digest:
            raise BundleError(str(folder), f"{name} was changed (its SHA-256 differs)", REMAKE)
    return manifest


def list_files(folder: Path) -> list[str]:
    """Names of all files below `folder`, relative, sorted; links are refused: they can point anywhere."""
    names = []
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise BundleError(str(folder), f"{path.relative_to(folder)} is a link", "copy the file instead")
        if not path.is_dir():
            names.append(path.relative_to(folder).as_posix())
    return sorted(names)


def check_kind(path: Path, name: str) -> None:
    """Refuse files of kinds a bundle never holds, and pickles under any name.

    Raises:
        BundleError: naming the file.
    """
    if path.suffix not in SUFFIXES:
        raise BundleError(name, f"'{path.suffix}' files do not belong in a bundle", f"use one of {SUFFIXES}")
    with open(path, "rb") as handle:
        head = handle.read(9)
    if path.suffix == ".safetensors":
        # Eight bytes of header length may look like anything, a pickle's magic included; JSON follows.
        pickled = len(head) < 9 or head[8:9] != b"{"
    else:
        pickled = (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or head[:4] == b"PK\x03\x04"
    if pickled:
        raise BundleError(name, "is a pickle or not the format its name says", "nothing here reads pickles")
