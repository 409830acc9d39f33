"""JSON Lines, one JSON array, or pretty-printed objects one after the other; numbers stay as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.errors import ShopError
from recsys_core.reading.encoding import BOM
from recsys_core.reading.rejects import Reading, Reject, decode_line, empty_as_null, excerpt, rejects_frame

CHUNK = 100_000  # rows per block, which bounds memory
LARGEST_DOCUMENT = 1 << 30  # bytes of a JSON text that is read as one
SPACE = " \t\r\n"
MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def _constant(name: str) -> str | None:
    """NaN says that a value is missing; an infinity stays visible, for cleaning to judge."""
    return None if name == "NaN" else name


DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_constant)


def read_json(data: bytes, path: Path, source: str) -> Reading:
    """Read JSON objects as rows of text.

    Args:
        data: UTF-8.
        path: the file.
        source: the name that rejects carry.

    Raises:
        ShopError: one JSON text too large to be read as a whole.
    """
    if _is_document(data):
        if len(data) > LARGEST_DOCUMENT:
            raise ShopError(str(path), "is one large JSON text", "write JSON Lines: one object per line")
        reading = _read_document(data, source)
        if reading is not None:
            return reading.checked(str(path))
    rejected: list[Reject] = []
    blocks = list(_blocks(data, source, rejected))
    frame = pl.concat(blocks, how="diagonal") if blocks else pl.DataFrame()
    delivered = sum(1 for line in data.split(b"\n") if line.removeprefix(BOM).strip())
    return Reading(empty_as_null(frame), rejects_frame(rejected), delivered).checked(str(path))


def looks_like_json(data: bytes) -> bool:
    """The first characters are those of a JSON object, or of an array of them."""
    head = data[:4096].lstrip()
    return (head[:1] == b"{" and head[1:].lstrip()[:1] in (b'"', b"}", b"")) or (
        head[:1] == b"[" and head[1:].lstrip()[:1] in (b"{", b"]"))


def _is_document(data: bytes) -> bool:
    """Rows do not end where lines do: an array, or an object whose first line is only its beginning."""
    start = data[:1 << 20].lstrip()
    if start[:1] == b"[":
        return start[1:].lstrip()[:1] in (b"{", b"]")
    first, _, rest = start.partition(b"\n")
    return bool(first.strip() in (b"{", b"{}") or (first.rstrip().endswith((b",", b"{", b"[")) and rest.strip()))


def _read_document(data: bytes, source: str) -> Reading | None:
    """All objects of a text, None if it is not JSON from beginning to end."""
    text, _ = decode_line(data)
    if text is None:
        return None
    found: list[Any] = []
    at = 0
    try:
        while at < len(text):
            if text[at] in SPACE or (text[at] == "," and found):
                at += 1
                continue
            value, at = DECODER.raw_decode(text, at)
            found.append(value)
    except (ValueError, RecursionError):
        return None
    lone_array = len(found) == 1 and isinstance(found[0], list)
    values = found[0] if lone_array else found
    rows, rejected = [], []
    for number, value in enumerate(values, 1):
        reason = _fault(value)
        if reason:
            rejected.append((source, number, reason, excerpt(repr(value).encode("utf-8", "replace"))))
        else:
            rows.append(value)
    blocks = [_text_frame(rows[at:at + CHUNK]) for at in range(0, len(rows), CHUNK)]
    frame = pl.concat(blocks, how="diagonal") if blocks else pl.DataFrame()
    others = sum(not isinstance(value, dict) for value in values)
    return Reading(empty_as_null(frame), rejects_frame(rejected), _count_objects(text, 1 if lone_array else 0) + others)


def _count_objects(text: str, depth: int) -> int:
    """Objects at a depth of brackets, told by the braces outside of texts."""
    count = level = 0
    for found in MARKS.finditer(text):
        mark = found[0]
        if mark in "{[":
            count += mark == "{" and level == depth
            level += 1
        elif mark in "}]":
            level -= 1
    return count


def _blocks(data: bytes, source: str, rejected: list[Reject]) -> Iterator[pl.DataFrame]:
    rows: list[dict[str, Any]] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        text, reason = decode_line(raw.removeprefix(BOM).strip())
        if text == "":
            continue
        row = None
        if text is not None:
            row, reason = _row(DECODER.decode, text)
        if row is None:
            rejected.append((source, number, reason, excerpt(raw)))
            continue
        rows.append(row)
        if len(rows) == CHUNK:
            yield _text_frame(rows)
            rows = []
    if rows:
        yield _text_frame(rows)


def _row(decode: Callable[[str], Any], text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        row = decode(text)
    except (ValueError, RecursionError) as error:
        return None, f"broken JSON: {error}"
    if not isinstance(row, dict) or "\\u" in text:  # an escape can smuggle in half a surrogate pair or a NUL
        reason = _fault(row)
        return (None, reason) if reason else (row, "")
    return row, ""


def _fault(row: Any) -> str:
    """Why a JSON value is no row, or nothing."""
    if not isinstance(row, dict):
        return "not a JSON object"
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "not UTF-8: half a surrogate pair"
    except RecursionError:
        return "broken JSON: nested too deeply"
    if any(isinstance(part, str) and "\0" in part for part in (*row, *row.values())):
        return "NUL character"
    return ""


def _text_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame({name: [_text(row.get(name)) for row in rows] for name in names},
                        schema=dict.fromkeys(names, pl.String))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
