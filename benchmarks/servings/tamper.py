"""Whether a bundle that somebody touched is refused before anything in it is read, with the file named.

Every file is flipped, cut and removed; strangers are planted: an extra file, pickles under every name, a link, a pipe. Then
an attacker who rewrites the manifest's hashes, too, meets a trusted key. An untouched bundle must still load.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.record import Bar
from recsys_core.artefacts import file_hash
from recsys_core.errors import BundleError
from recsys_core.serving import MANIFEST, Bundle
from recsys_core.signatures import PUBLIC_KEY, SIGNATURE, own_key, sign_folder

PICKLED = ("items.parquet", "student/student.onnx", "vectors.safetensors", "golden.json", "notes.txt", "weights.pkl", SIGNATURE)
Change = Callable[[], None]


class _WasReadError(Exception):
    """Something in the bundle was read."""


def refusal(folder: Path, key: Path | None) -> str | None:
    """What loading says; None where it goes on to read the files."""
    try:
        with mock.patch("recsys_core.serving.files._read_verified", side_effect=_WasReadError):
            Bundle.load(folder, key=key)
    except BundleError as error:
        return str(error)
    except _WasReadError:
        return None
    raise AssertionError("reading was not patched")


def cases(folder: Path, elsewhere: Path) -> Iterator[tuple[str, str, Change, bool]]:
    """(what is done, the file to be named, how, whether the hashes are rewritten by somebody without the key)."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (MANIFEST, SIGNATURE)):
        name = path.relative_to(folder).as_posix()
        yield "a byte flipped", name, lambda path=path: _flip(path), False
        yield "cut in half", name, lambda path=path: path.write_bytes(path.read_bytes()[:path.stat().st_size // 2]), False
        yield "removed", name, path.unlink, False
        yield "a byte flipped and the hashes rewritten", MANIFEST, lambda path=path: _flip(path), True
    for name in PICKLED:
        planted = folder / name
        yield "a pickle in its place", name, lambda planted=planted: planted.write_bytes(pickle.dumps({"a": [1]})), False
    yield "an extra file", "extra.json", lambda: (folder / "extra.json").write_text("{}"), False
    yield "an extra file and the hashes rewritten", MANIFEST, lambda: (folder / "extra.json").write_text("{}"), True
    yield "a link", "link.json", lambda: (folder / "link.json").symlink_to(elsewhere), False
    yield "a pipe", "pipe.json", lambda: os.mkfifo(folder / "pipe.json"), False
    yield "the signature removed", SIGNATURE, (folder / SIGNATURE).unlink, False
    yield "the signature flipped", SIGNATURE, lambda: _flip(folder / SIGNATURE), False
    yield "signed by somebody else", SIGNATURE, lambda: sign_folder(folder, own_key(elsewhere.parent / "other-keys")), False


def run(folder: Path) -> dict[str, Any]:
    """Touch a signed copy of a bundle in every way, one after the other."""
    with tempfile.TemporaryDirectory() as work:
        copy, key = shutil.copytree(folder, Path(work) / "bundle"), own_key(Path(work) / "keys")
        sign_folder(copy, key)
        trusted, rows = key.with_name(PUBLIC_KEY), []
        untouched = [refusal(copy, None), refusal(copy, trusted)]
        for what, name, change, rewritten in cases(copy, key):
            with _restored(copy, Path(work)):
                change()
                if rewritten:
                    _rehash(copy)
                said = refusal(copy, trusted)
            rows.append({"what": what, "file": name, "refused": said is not None, "named": said is not None and name in said})
    return {"rows": rows, "untouched": untouched}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    found = run(folder)
    rows = found["rows"]
    kinds = sorted({row["what"] for row in rows})
    table = [{"what": kind, "bundles": len(same := [row for row in rows if row["what"] == kind]),
              "refused": sum(row["refused"] for row in same), "file named": sum(row["named"] for row in same)} for kind in kinds]
    share = sum(row["named"] for row in rows) / len(rows) if found["untouched"] == [None, None] else 0.0
    note = f"{len(rows)} touched bundles in {len(kinds)} ways, with a trusted key; none was read. The untouched one loads"
    return [Bar("bundle.tampered_refused", share, "==", 1, n=len(rows), note=note)], {"Bundles that somebody touched": table}


def _flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _rehash(folder: Path) -> None:
    """Make the manifest fit the files, as whoever can write the folder can."""
    manifest = json.loads((folder / MANIFEST).read_text())
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name not in (MANIFEST, SIGNATURE)]
    manifest["files"] = {name: {"size": (folder / name).stat().st_size, "sha256": file_hash(folder / name)} for name in names}
    (folder / MANIFEST).write_text(json.dumps(manifest))


@contextmanager
def _restored(folder: Path, work: Path) -> Iterator[None]:
    """Put a folder back as it was, from a copy; only what was changed is copied."""
    kept = work / "kept"
    if not kept.exists():
        shutil.copytree(folder, kept)
    try:
        yield
    finally:
        for path in [p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()]:
            source = kept / path.relative_to(folder)
            if path.is_symlink() or not path.is_file() or not source.is_file():
                path.unlink()
        for source in [p for p in kept.rglob("*") if p.is_file()]:
            target = folder / source.relative_to(kept)
            if not target.is_file() or target.stat().st_mtime_ns != source.stat().st_mtime_ns:
                shutil.copy2(source, target)
