"""Any data file as a table: what is inside decides how it is read, its name only where that leaves a choice.

Text formats are read as text, without type inference. A line that cannot be read (bad UTF-8, NUL, broken JSON, a wrong
number of fields) becomes a reject and the rest loads. Every reading carries a ledger (see `Reading`).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from recsys_core.errors import ShopError
from recsys_core.reading.contents import PARQUET, is_parquet, read_bytes
from recsys_core.reading.dialect import UNNAMED, read_dialect
from recsys_core.reading.encoding import to_utf8
from recsys_core.reading.joins import Join, look_up
from recsys_core.reading.jsons import looks_like_json, read_json
from recsys_core.reading.names import JSON_NAMES, PARQUET_NAMES, split_name
from recsys_core.reading.rejects import Reading, rejects_frame
from recsys_core.reading.separated import read_separated, read_separated_column

log = logging.getLogger(__name__)

HEAD_BYTES = 4 << 20
HEADER_BYTES = 1 << 18
Found = TypeVar("Found")


@dataclass(frozen=True)
class Declared:
    """What a shop declares about its text files, where it cannot be told from them.

    Args:
        delimiter: between the fields of CSV files.
        encoding: of text files, a name that Python knows.
        joins: other files whose columns belong to the rows.
    """

    delimiter: str | None = None
    encoding: str | None = None
    joins: tuple[Join, ...] = ()

    @property
    def alone(self) -> Declared:
        """The same for a file that is looked into by itself."""
        return replace(self, joins=())


def read_table(path: Path, source: str, declared: Declared | None = None) -> Reading:
    """Read one file.

    Args:
        path: the file.
        source: the name that rejects carry.
        declared: what the shop says about its files.

    Raises:
        ShopError: the file cannot be read at all (not its format, truncated, no or duplicate header, of an encoding
            that is not certain), or its records do not add up.
    """
    declared = declared or Declared()
    if declared.joins:
        reading = read_table(path, source, declared.alone)
        return replace(reading, rows=_joined(reading.rows, path, declared))
    if is_parquet(path):
        rows = _parquet(path, lambda: pl.read_parquet(path, memory_map=False, glob=False))
        return Reading(rows, rejects_frame([]), _parquet(path, lambda: _row_count(path))).checked(str(path))
    data = read_bytes(path)
    if data.startswith(PARQUET):
        rows = _parquet(path, lambda: pl.read_parquet(io.BytesIO(data)))
        return Reading(rows, rejects_frame([]), rows.height)
    return _read_text(data, path, source, declared)


def read_head(path: Path, declared: Declared | None = None) -> pl.DataFrame:
    """The first rows of a file (all of a small one): enough to know its columns and types."""
    declared = declared or Declared()
    if declared.joins:
        return _joined(read_head(path, declared.alone), path, declared)
    if is_parquet(path):
        return _parquet(path, lambda: pl.scan_parquet(path, glob=False).head(1000).collect())
    data = read_bytes(path, HEAD_BYTES)
    if data.startswith(PARQUET):
        return read_table(path, path.name, declared).rows.head(1000)
    if len(data) == HEAD_BYTES:
        head = to_utf8(_whole_lines(data), path, declared.encoding)
        if _is_json(head, path) and head.lstrip()[:1] == b"[":
            return read_table(path, path.name, declared).rows.head(1000)
        return _read_utf8(head[:head.rfind(b"\n") + 1] or head, path, path.name, declared).rows
    return _read_text(data, path, path.name, declared).rows


def read_column(path: Path, name: str, declared: Declared | None = None) -> pl.Series | None:
    """One column of a parquet or CSV file, None where only reading the whole file can give it."""
    declared = declared or Declared()
    if declared.joins and name not in (columns_of(path, declared.alone) or ()):
        return None
    if is_parquet(path):
        return _parquet(path, lambda: pl.read_parquet(path, columns=[name], memory_map=False, glob=False))[name]
    data = read_bytes(path)
    if data.startswith(PARQUET):
        return None
    data = to_utf8(data, path, declared.encoding)
    return None if _is_json(data, path) else read_separated_column(data, path, name, declared.delimiter)


def columns_of(path: Path, declared: Declared | None = None) -> list[str] | None:
    """Column names without reading the rows; None for JSON, which has no header."""
    declared = declared or Declared()
    if declared.joins:
        found = [columns_of(one, declared.alone) for one in (path, *(join.path for join in declared.joins))]
        return None if None in found else list(dict.fromkeys(name for names in found for name in names or ()))
    if is_parquet(path):
        with open(path, "rb") as handle:
            return list(_parquet(path, lambda: pl.read_parquet_schema(handle)))
    data = read_bytes(path, HEADER_BYTES)
    if data.startswith(PARQUET):
        return list(read_table(path, path.name, declared).rows.columns)
    if len(data) == HEADER_BYTES:
        data = _whole_lines(data)
    data = to_utf8(data, path, declared.encoding)
    if _is_json(data, path):
        return None
    return [name for name in read_dialect(data, path, declared.delimiter).names if not name.startswith(UNNAMED)]


def _joined(rows: pl.DataFrame, path: Path, declared: Declared) -> pl.DataFrame:
    for join in declared.joins:
        rows = look_up(rows, read_table(join.path, join.path.name, declared.alone).rows, join, str(path))
    return rows


def _read_text(data: bytes, path: Path, source: str, declared: Declared) -> Reading:
    return _read_utf8(to_utf8(data, path, declared.encoding), path, source, declared)


def _read_utf8(data: bytes, path: Path, source: str, declared: Declared) -> Reading:
    if _is_json(data, path):
        return read_json(data, path, source)
    return read_separated(data, path, source, declared.delimiter)


def _is_json(data: bytes, path: Path) -> bool:
    kind = split_name(path).kind
    if kind in PARQUET_NAMES and data:
        if not data[:4096].isascii() or b"\0" in data[:4096] or b"\n" not in data:
            raise ShopError(str(path), "is not a readable parquet file (its first bytes are not PAR1)", "deliver the file again")
        return looks_like_json(data)
    if kind in JSON_NAMES:
        lines = [line for line in data[:1 << 16].split(b"\n")[:20] if line.strip()]
        no_objects = bool(lines) and not any(line.lstrip()[:1] in (b"{", b"[", b"}", b"\xef") for line in lines)
        return not (no_objects and b"," in lines[0] and len(lines) > 1 and lines[0].isascii() and b'":' not in lines[0])
    return looks_like_json(data) and b'":' in data[:4096].replace(b'" :', b'":')


def _whole_lines(data: bytes) -> bytes:
    """The beginning of a text, cut at a line end, so that no character or record of it is half."""
    end = data.rfind(b"\n")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or end < 0:
        return data[:len(data) // 4 * 4]
    return data[:end + 1]


def _row_count(path: Path) -> int:
    """Rows that the metadata of a parquet file promises."""
    return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())


def _parquet(path: Path, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise ShopError(str(path), f"is not a readable parquet file ({words})", "deliver the file again") from None
