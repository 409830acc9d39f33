"""Artefacts on disk: written beside their place, hashed, and moved into it in one rename.

A reader sees the previous version or the new one, never half of either; a killed writer
leaves only a `.staging-*` folder that the next write removes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.errors import RecsysError

if TYPE_CHECKING:  # only the maps need NumPy; what supervises a service never loads it
    import numpy as np

CYCLE_LOCK = Path("dagster") / "cycle.lock"
AT_CWD, EXCHANGE = -100, 2  # of renameat2(2): relative paths as usual; two names change places
HASHERS = 4  # threads that hash a folder's files; more would wait for memory
# Of safetensors.
NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
           "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` atomically if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".staging-{target.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staging = target.parent / f".staging-{target.name}-{uuid.uuid4().hex[:8]}"
    staging.mkdir()
    try:
        yield staging
        publish_folder(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish_folder(staging: Path, target: Path) -> None:
    """Move `staging` into the place of `target`; there is no moment at which `target` is missing or half of either.

    Where the file system cannot let two names change places, the old version moves out first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.replace(staging, target)
    elif _exchange(staging, target):
        shutil.rmtree(staging, ignore_errors=True)  # the old version, now
    else:
        old = target.parent / f".staging-{target.name}-old-{uuid.uuid4().hex[:8]}"
        os.replace(target, old)
        os.replace(staging, target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where system or file system lack that."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_CWD, os.fsencode(one), AT_CWD, os.fsencode(other), EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process publishes into `folder`, and keep others waiting; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """Yield a file path that replaces `target` atomically if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".staging-{uuid.uuid4().hex[:8]}-{target.name}"
    try:
        yield staging
        os.replace(staging, target)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def one_cycle(home: Path) -> Iterator[None]:
    """Hold a RECSYS_HOME for one command that changes much of it; the lock ends with the process, however that ends.

    Raises:
        RecsysError: another command holds it.
    """
    (home / CYCLE_LOCK).parent.mkdir(parents=True, exist_ok=True)
    with open(home / CYCLE_LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecsysError(str(home), "another command runs a cycle here", "wait until it ends") from None
        yield


def file_hash(path: Path) -> str:
    """SHA-256 of one file, hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of some files of a folder by name, in their order; hashing lets other threads run.

    The largest begin, so that none is left alone at the end. All threads have ended when this returns: services fork after it.
    """
    paths = {name: folder / name for name in names}
    with ThreadPoolExecutor(HASHERS) as pool:
        begun = {name: pool.submit(file_hash, path)
                 for name, path in sorted(paths.items(), key=lambda one: -one[1].stat().st_size)}
        return {name: begun[name].result() for name in paths}


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name, read-only and mapped into memory: all processes share one copy of them.

    Raises:
        ValueError: the file is none; KeyError: it holds another type of numbers.
    """
    import numpy as np

    content = np.asarray(np.memmap(path, np.uint8, mode="r"))
    begin = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8:begin].tobytes())
    header.pop("__metadata__", None)
    return {name: content[begin + about["data_offsets"][0]:begin + about["data_offsets"][1]]
            .view(NUMBERS[about["dtype"]]).reshape(about["shape"]) for name, about in header.items()}


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of every file below `folder`, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as stable, readable JSON (sorted keys; NaN is refused)."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with staged_file(path) as staging:
        staging.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is one clear `RecsysError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecsysError(str(path), "the file is missing", "run the stage that writes it") from None
    except ValueError as error:
        raise RecsysError(str(path), f"broken JSON ({error})", "run the stage that writes it again") from None
