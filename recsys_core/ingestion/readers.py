"""Reading what a shop delivers: parquet, CSV, TSV and JSON Lines, plain or gzipped, broken lines set aside.

Text formats are read as text, without type inference, so that an id keeps its leading zeros. A line that
cannot be read (bad UTF-8, NUL, broken JSON, a wrong number of fields) becomes a reject and the rest loads.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.errors import ShopError

REJECTS = {"source": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String}
SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t"}
TYPED_HEADERS = (".inter", ".item", ".user")  # RecBole atomic files: `user_id:token`
JSON_LINES = (".jsonl", ".json", ".ndjson")
BOM = b"\xef\xbb\xbf"
RECORD_LINES = 20  # a quoted CSV field may span this many lines; beyond it, its quote is taken as broken
KEPT_TEXT = 200    # characters of a rejected line that are kept
HEAD_BYTES = 4 << 20
CHUNK = 100_000    # JSON lines per block, which bounds memory


def file_format(path: Path) -> str | None:
    """`.parquet`, `.csv`, `.jsonl`, … of a data file (`.gz` looked through), None for any other file.

    >>> file_format(Path("2024-03-01.jsonl.gz")), file_format(Path("notes.md"))
    ('.jsonl', None)
    """
    zipped = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if zipped else path.suffix
    known = (*SEPARATORS, *JSON_LINES) if zipped else (*SEPARATORS, *JSON_LINES, ".parquet")
    return suffix if suffix in known else None


def read_table(path: Path, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read one file.

    Args:
        path: the file. source: the name that rejects carry.

    Returns:
        the rows (text formats: all columns String, empty = null) and the rejects (`REJECTS`).

    Raises:
        ShopError: the file cannot be read at all (not its format, truncated, no or duplicate header).
    """
    if file_format(path) == ".parquet":
        return _parquet(path, lambda: pl.read_parquet(path, memory_map=False)), rejects_frame([])
    return _read_text(_read_bytes(path), path, source)


def read_head(path: Path) -> pl.DataFrame:
    """The first rows of a file (all of a small one): enough to know its columns and types."""
    if file_format(path) == ".parquet":
        return _parquet(path, lambda: pl.scan_parquet(path).head(1000).collect())
    data = _read_bytes(path, HEAD_BYTES)
    return _read_text(data[:data.rfind(b"\n") + 1] if len(data) == HEAD_BYTES else data, path, path.name)[0]


def read_column(path: Path, name: str) -> pl.Series | None:
    """One column of a parquet or CSV file, None where only reading the whole file can give it."""
    if file_format(path) == ".parquet":
        return _parquet(path, lambda: pl.read_parquet(path, columns=[name], memory_map=False))[name]
    if file_format(path) not in SEPARATORS or file_format(path) in TYPED_HEADERS:
        return None
    try:
        return pl.read_csv(path, columns=[name], infer_schema=False,
                           separator=SEPARATORS[file_format(path)])[name].replace("", None)
    except pl.exceptions.PolarsError:
        return None


def _read_text(data: bytes, path: Path, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    data = data.removeprefix(BOM)
    if file_format(path) in SEPARATORS:
        return _read_separated(data, path, source)
    if data.lstrip()[:1] == b"[":
        raise ShopError(str(path), "is one JSON array", "write JSON Lines: one object per line")
    return _read_json_lines(data, source)


def columns_of(path: Path) -> list[str] | None:
    """Column names without reading the rows; None for JSON Lines, which have no header."""
    kind = file_format(path)
    if kind == ".parquet":
        return list(_parquet(path, lambda: pl.read_parquet_schema(path)))
    if kind not in SEPARATORS:
        return None
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            first = handle.readline()
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None
    return _header(first.removeprefix(BOM), path)


def rejects_frame(rows: list[tuple[str, int, str, str]]) -> pl.DataFrame:
    """Rejected lines as a table: source, line (1 is the file's first), reason, text (its beginning)."""
    return pl.DataFrame(rows, schema=REJECTS, orient="row")


def _parquet(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ShopError(str(path), f"is not a readable parquet file ({str(error).splitlines()[0]})",
                        "deliver the file again") from None


def _read_bytes(path: Path, limit: int = -1) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            return handle.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ShopError:
    return ShopError(str(path), f"cannot be read ({error})", "deliver the file again")


# --- CSV and TSV ------------------------------------------------------------------------------


def _header(line: bytes, path: Path) -> list[str]:
    """Names of a header line; RecBole's `name:type` loses its type."""
    try:
        names = next(csv.reader([line.decode().rstrip("\r\n")], delimiter=SEPARATORS[file_format(path)]), [])
    except (UnicodeDecodeError, csv.Error):
        names = []
    if not any(names):
        raise ShopError(str(path), "has no readable header line", "start the file with its column names")
    if file_format(path) in TYPED_HEADERS:
        names = [name.split(":")[0] for name in names]
    for name in names:
        if names.count(name) > 1:
            raise ShopError(str(path), f"column {name!r} appears twice", "give every column its own name")
    return names


def _read_separated(data: bytes, path: Path, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    first, _, body = data.partition(b"\n")
    names, separator = _header(first, path), SEPARATORS[file_format(path)]
    quote = None if file_format(path) in TYPED_HEADERS else '"'
    if not body.strip():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)), rejects_frame([])
    try:
        frame = pl.read_csv(body, has_header=False, new_columns=names, infer_schema=False,
                            separator=separator, quote_char=quote)
        regular = frame.width == len(names) and b"\0" not in body and (
            frame[names[-1]].null_count() == 0 or _same_width(body, separator, quote, len(names)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        regular = False
    if regular:
        return _empty_as_null(frame), rejects_frame([])
    return _read_line_by_line(body, names, separator, quote, source)


def _same_width(body: bytes, separator: str, quote: str | None, width: int) -> bool:
    """True if every record has `width` fields: Polars fills short records with nulls without a word."""
    raw = np.frombuffer(body if body.endswith(b"\n") else body + b"\n", np.uint8)
    quoted = np.zeros(len(raw), bool)
    if quote:
        quoted = (np.cumsum(raw == ord(quote)) % 2).astype(bool)
    ends = np.flatnonzero((raw == ord("\n")) & ~quoted)
    splits = np.flatnonzero((raw == ord(separator)) & ~quoted)
    return bool((np.diff(np.searchsorted(splits, ends), prepend=0) == width - 1).all())


def _read_line_by_line(body: bytes, names: list[str], separator: str, quote: str | None,
                       source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The slow, forgiving reader: every record on its own, so that a stray quote costs one line."""
    lines, rows, rejected, at = body.split(b"\n"), [], [], 0
    while at < len(lines):
        record, used, reason = _record(lines, at, len(names), separator, quote)
        if record is not None:
            rows.append(record)
        elif reason:
            rejected.append((source, at + 2, reason, _excerpt(lines[at])))
        at += used
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return _empty_as_null(frame), rejects_frame(rejected)


def _record(lines: list[bytes], at: int, width: int, separator: str,
            quote: str | None) -> tuple[list[str] | None, int, str]:
    """The record that starts at line `at`: (fields or None, lines used, reason if it is broken)."""
    raw, reason = b"", ""
    for used in range(1, min(RECORD_LINES, len(lines) - at) + 1):
        raw += (b"\n" if used > 1 else b"") + lines[at + used - 1]
        text, reason = _decode(raw.removeprefix(BOM).rstrip(b"\r"))
        if text is None:
            break
        if not text.strip():
            return None, 1, ""
        if quote and text.count(quote) % 2:
            reason = "unbalanced quotes"
            continue
        quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        try:
            parts = [part + "\n" for part in text.split("\n")]
            fields = next(csv.reader(parts, delimiter=separator, quoting=quoting))
        except csv.Error as error:
            return None, 1, f"broken record: {error}"
        if len(fields) == width:
            return fields, used, ""
        reason = reason or f"{len(fields)} fields instead of {width}"
        break
    return None, 1, reason


# --- JSON Lines -------------------------------------------------------------------------------


def _read_json_lines(data: bytes, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    rejected: list[tuple[str, int, str, str]] = []
    blocks = list(_json_blocks(data, source, rejected))
    frame = pl.concat(blocks, how="diagonal") if blocks else pl.DataFrame()
    return _empty_as_null(frame), rejects_frame(rejected)


def _json_blocks(data: bytes, source: str,
                 rejected: list[tuple[str, int, str, str]]) -> Iterator[pl.DataFrame]:
    decode = json.JSONDecoder(parse_int=str, parse_float=str).decode  # numbers as they are written
    rows: list[dict[str, Any]] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        text, reason = _decode(raw.removeprefix(BOM).strip())
        if text == "":
            continue
        row = None
        if text is not None:
            row, reason = _json_row(decode, text)
        if row is None:
            rejected.append((source, number, reason, _excerpt(raw)))
            continue
        rows.append(row)
        if len(rows) == CHUNK:
            yield _text_frame(rows)
            rows = []
    if rows:
        yield _text_frame(rows)


def _json_row(decode: Callable[[str], Any], text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        row = decode(text)
        if "\\u" in text:  # an escape can smuggle in half a surrogate pair or a NUL
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None, "not UTF-8: half a surrogate pair"
    except (ValueError, RecursionError) as error:
        return None, f"broken JSON: {error}"
    if not isinstance(row, dict):
        return None, "not a JSON object"
    if "\\u0000" in text and any(isinstance(value, str) and "\0" in value for value in row.values()):
        return None, "NUL character"
    return row, ""


def _text_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame({name: [_json_text(row.get(name)) for row in rows] for name in names},
                        schema=dict.fromkeys(names, pl.String))


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


# --- shared -----------------------------------------------------------------------------------


def _decode(raw: bytes) -> tuple[str | None, str]:
    if b"\0" in raw:
        return None, "NUL byte"
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: byte 0x{raw[error.start]:02x}"


def _excerpt(raw: bytes) -> str:
    return raw[:4 * KEPT_TEXT].decode("utf-8", errors="replace").replace("\0", "�")[:KEPT_TEXT]


def _empty_as_null(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.all().replace("", None)) if frame.width else frame
