"""From a file to its bytes: compression is seen by its magic bytes, whatever the name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from recsys_core.errors import ShopError

GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
BZIP, XZ = b"BZh", b"\xfd7zXZ\x00"
FOREIGN = {  # magic bytes → what it is, and what to do about it
    b"PK\x05\x06": "an empty zip archive", b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"SQLite format 3": "an SQLite database", b"%PDF": "a PDF",
    b"ORC": "an ORC file", b"Obj\x01": "an Avro file", b"ARROW1": "an Arrow file", b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive", b"\x89HDF": "an HDF5 file", b"<!DOCTYPE": "an HTML page", b"<html": "an HTML page",
    b"<?xml": "an XML document",
}
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)


def is_parquet(path: Path) -> bool:
    """The file's first bytes are those of parquet."""
    try:
        with open(path, "rb") as handle:
            return handle.read(4) == PARQUET
    except OSError as error:
        raise unreadable(path, error) from None


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """What is inside a file, unpacked.

    Args:
        path: the file.
        limit: at most so many bytes; -1: all.

    Raises:
        ShopError: the file cannot be opened or unpacked, or is of a kind that is not read.
    """
    try:
        with open(path, "rb") as handle:
            magic = handle.read(16)
            handle.seek(0)
            data = _unpacked(handle, magic, path, limit)
    except BROKEN as error:
        raise unreadable(path, error) from None
    for start, what in FOREIGN.items():
        if data.startswith(start):
            raise ShopError(str(path), f"is {what}", "deliver CSV, JSON Lines or parquet")
    return data


def unreadable(path: Path, error: BaseException) -> ShopError:
    """The error for a file that cannot be opened or is broken."""
    words = " ".join(str(error).split()) or type(error).__name__
    return ShopError(str(path), f"cannot be read ({words[:200]})", "deliver the file again")


def _unpacked(handle: IO[bytes], magic: bytes, path: Path, limit: int) -> bytes:
    if magic.startswith(ZIP):
        return _from_zip(handle, path, limit)
    for start, opener in ((GZIP, gzip.open), (BZIP, bz2.open), (XZ, lzma.open)):
        if magic.startswith(start):
            with opener(handle) as unpacked:
                data: bytes = unpacked.read(limit)
            if data.startswith(ZIP):
                return _from_zip(io.BytesIO(data), path, limit)
            return data
    return handle.read(limit)


def _from_zip(handle: IO[bytes], path: Path, limit: int) -> bytes:
    with zipfile.ZipFile(handle) as archive:
        names = [info for info in archive.infolist() if not info.is_dir()
                 and not any(part == "__MACOSX" or part.startswith(".") for part in PurePosixPath(info.filename).parts)]
        if any(info.filename.startswith(("xl/", "word/")) for info in names):
            raise ShopError(str(path), "is an Excel workbook", "save the sheet as CSV UTF-8")
        if len(names) != 1:
            there = ", ".join(info.filename for info in names[:5]) or "nothing"
            raise ShopError(str(path), f"is an archive of {len(names)} files ({there})", "deliver one file in each archive")
        with archive.open(names[0]) as member:
            return member.read(limit)
