"""How a text table is written: its separator, header and quotes, told by its first records."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

from recsys_core.errors import ShopError
from recsys_core.reading.names import SEPARATED, TYPED_HEADERS, split_name
from recsys_core.reading.records import split_record

log = logging.getLogger(__name__)

SEPARATORS = (",", ";", "\t", "|")
SAMPLE_LINES = 50
SPELLED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
UNNAMED = "\0unnamed"  # how a column without a name is kept until it is dropped


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Args:
        names: of the columns, in order; those that start with `UNNAMED` have none.
        separator: between fields.
        quote: what encloses fields, None if nothing does.
        body: where the rows begin.
        header_lines: lines before the body.
    """

    names: tuple[str, ...]
    separator: str
    quote: str | None
    body: int
    header_lines: int


def read_dialect(data: bytes, path: Path, delimiter: str | None = None) -> Dialect:
    """What the first lines of a table say about the rest.

    Args:
        data: the table as UTF-8, or its beginning.
        path: the file.
        delimiter: what the shop declares, if it does.

    Raises:
        ShopError: no readable header, or a name that appears twice.
    """
    start, lines = 0, 0
    while (end := data.find(b"\n", start)) >= 0 and not data[start:end].strip():
        start, lines = end + 1, lines + 1
    declared = delimiter
    if data[start:start + 4].lower() == b"sep=":
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        declared = declared or data[start + 4:end].decode("utf-8", "replace").rstrip("\r") or None
        start, lines = min(end + 1, len(data)), lines + 1
    typed = split_name(path).kind in TYPED_HEADERS
    quote = None if typed else '"'
    sample = [line for line in data[start:start + (1 << 18)].decode("utf-8", "replace").split("\n")[:SAMPLE_LINES]
              if line.strip()]
    usual = SEPARATED.get(split_name(path).kind, ",")
    separator = declared or (usual if typed else _separator(sample, usual))
    if separator != usual and not delimiter:
        log.info("%s: columns are separated by %s", path, SPELLED.get(separator, repr(separator)))
    names, used = _names(data, start, separator, quote, path)
    if typed:
        names = [name.split(":")[0] for name in names]
    names = _without_trailing(names, sample[1:] if used == 1 else [], separator, quote)
    unnamed = (f"{UNNAMED}{n}" for n in range(len(names)))
    kept = tuple(name or next(unnamed) for name in names)
    for name in kept:
        if kept.count(name) > 1:
            raise ShopError(str(path), f"column {name!r} appears twice", "give every column its own name")
    body = start
    for _ in range(used):
        end = data.find(b"\n", body)
        body = len(data) if end < 0 else end + 1
    return Dialect(kept, separator, quote, body, lines + used)


def _separator(sample: list[str], usual: str) -> str:
    """The usual one unless another splits the header and agrees better with the rows, or splits both into more fields."""
    if not sample:
        return usual
    scores, exact = {}, {}
    for candidate in dict.fromkeys((usual, *SEPARATORS)):
        width = len(split_record(sample[0], candidate, '"').fields)
        widths = [len(split_record(line.rstrip("\r"), candidate, '"').fields) for line in sample[1:]]
        agree = sum(found in (width, width + 1) for found in widths)
        scores[candidate] = (width > 1, agree >= 0.5 * len(widths), width if width > 1 else 0)
        if width > 1 and widths and all(found == width for found in widths):
            exact[candidate] = width
    if scores[usual][0] and scores[usual][1] and max(exact.values(), default=0) <= scores[usual][2]:
        return usual
    best = max(scores, key=lambda candidate: (scores[candidate], candidate == usual))
    return best if scores[best][0] and (scores[best][1] or not scores[usual][0]) else usual


def _names(data: bytes, start: int, separator: str, quote: str | None, path: Path) -> tuple[list[str], int]:
    """The header's names, and how many lines it takes: a quoted name may hold a line end."""
    end = data.find(b"\n", start)
    lines = [data[start:len(data) if end < 0 else end]]
    while quote and lines[-1] and b"".join(lines).count(b'"') % 2 and 0 <= end < len(data) - 1 and len(lines) < 5:
        following = data.find(b"\n", end + 1)
        lines.append(data[end + 1:len(data) if following < 0 else following])
        end = following
    if b"".join(lines).count(b'"') % 2:
        lines = lines[:1]
    try:
        text = b"\n".join(lines).decode().rstrip("\r")
        parts = [part + "\n" for part in text.split("\n")]
        rows = csv.reader(parts, delimiter=separator) if quote else csv.reader(parts, delimiter=separator, quoting=csv.QUOTE_NONE)
        names = [name.strip() for name in next(rows, [])]
    except (UnicodeDecodeError, csv.Error, TypeError):
        names = []
    if not any(names) or any("\0" in name for name in names):
        raise ShopError(str(path), "has no readable header line", "start the file with its column names")
    return names, len(lines)


def _without_trailing(names: list[str], rows: list[str], separator: str, quote: str | None) -> list[str]:
    """Names that fit rows which all end with a separator, or a header which alone does."""
    found = [split_record(row.rstrip("\r"), separator, quote) for row in rows]
    widths = {len(one.fields) for one in found if not one.is_open}
    if widths == {len(names) + 1} and all(one.fields[-1] == "" for one in found if not one.is_open):
        return [*names, ""]
    if names[-1] == "" and widths == {len(names) - 1}:
        return names[:-1]
    return names
