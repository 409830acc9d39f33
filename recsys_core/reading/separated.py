"""CSV, TSV and their kin: the fast parser where a file is regular, else record by record.

Everything is read as text, without type inference, so that an id keeps its leading zeros.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.reading.dialect import UNNAMED, Dialect, read_dialect
from recsys_core.reading.encoding import BOM
from recsys_core.reading.records import count_records, has_regular_quotes, looks_swallowed, split_record
from recsys_core.reading.rejects import Reading, Reject, decode_line, empty_as_null, excerpt, rejects_frame

log = logging.getLogger(__name__)

RECORD_LINES = 500  # a quoted field may span this many lines; beyond it, its quote is taken as broken
ESCAPED_QUOTE = re.compile(rb'[^,;\t|\n\\]\\"[^,;\t|\r\n"]')
DOUBLED_QUOTE = re.compile(rb'[^,;\t|\n"\\]""[^,;\t|\r\n"]')
PARSER_FAULTS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def read_separated(data: bytes, path: Path, source: str, delimiter: str | None = None) -> Reading:
    """Read a table of separated fields.

    Args:
        data: UTF-8, lines ended by line feeds.
        path: the file.
        source: the name that rejects carry.
        delimiter: the separator, if the shop declares it.

    Raises:
        ShopError: no readable header, or records that neither load nor can be set aside.
    """
    dialect = read_dialect(data, path, delimiter)
    body = data[dialect.body:]
    if not body.strip():
        return _named(Reading(pl.DataFrame(schema=dict.fromkeys(dialect.names, pl.String)), rejects_frame([]), 0), path)
    reading = _fast(body, dialect)
    if reading is None or not reading.balances:
        reading = _forgiving(body, dialect, source)
    return _named(reading.checked(str(path)), path)


def read_separated_column(data: bytes, path: Path, name: str, delimiter: str | None = None) -> pl.Series | None:
    """One column of a table, None where only reading it whole can give it."""
    dialect = read_dialect(data, path, delimiter)
    body = data[dialect.body:]
    if b"\0" in body or not body.strip() or not has_regular_quotes(body, dialect.separator, dialect.quote):
        return None
    try:
        found = pl.read_csv(body, has_header=False, columns=[dialect.names.index(name)], infer_schema=False,
                            separator=dialect.separator, quote_char=dialect.quote)
    except (*PARSER_FAULTS, ValueError):
        return None
    values = found.to_series().rename(name)
    return values.replace("", None) if len(values) == count_records(body, dialect.quote) else None


def _fast(body: bytes, dialect: Dialect) -> Reading | None:
    """The table by the fast parser, None where its reading cannot be trusted."""
    separator, quote, names = dialect.separator, dialect.quote, list(dialect.names)
    if b"\0" in body or len(separator) != 1 or not has_regular_quotes(body, separator, quote):
        return None
    try:
        frame = pl.read_csv(body, has_header=False, new_columns=names, infer_schema=False, separator=separator,
                            quote_char=quote)
    except PARSER_FAULTS:
        return None
    if frame.width != len(names) or (frame[names[-1]].null_count() and not _same_width(body, dialect)):
        return None
    return Reading(empty_as_null(frame), rejects_frame([]), count_records(body, quote))


def _same_width(body: bytes, dialect: Dialect) -> bool:
    """True if every record has its fields: Polars fills short records with nulls without a word."""
    raw = np.frombuffer(body if body.endswith(b"\n") else body + b"\n", np.uint8)
    quoted = np.zeros(len(raw), bool)
    if dialect.quote:
        quoted = (np.cumsum(raw == ord(dialect.quote)) % 2).astype(bool)
    ends = np.flatnonzero((raw == ord("\n")) & ~quoted)
    splits = np.flatnonzero((raw == ord(dialect.separator)) & ~quoted)
    return bool((np.diff(np.searchsorted(splits, ends), prepend=0) == len(dialect.names) - 1).all())


def _forgiving(body: bytes, dialect: Dialect, source: str) -> Reading:
    """Every record on its own, so that a stray quote costs one line at most."""
    lines = body.split(b"\n")
    plain = _Lines(lines, dialect, source)
    if ESCAPED_QUOTE.search(body) and not DOUBLED_QUOTE.search(body):
        escaped = _Lines(lines, dialect, source, escape=True)
        if len(escaped.rejected) <= len(plain.rejected):
            log.info("%s: quotes are escaped by backslashes", source)
            plain = escaped
    frame = pl.DataFrame(plain.rows, schema=dict.fromkeys(dialect.names, pl.String), orient="row")
    delivered = sum(1 for line in lines if line.strip()) - plain.continued
    return Reading(empty_as_null(frame), rejects_frame(plain.rejected), delivered)


class _Lines:
    """The records of a table line by line: `rows`, `rejected`, and `continued`, the lines that belong to a row above."""

    def __init__(self, lines: list[bytes], dialect: Dialect, source: str, escape: bool = False) -> None:
        self.lines, self.dialect, self.escape = lines, dialect, escape
        self.rows: list[list[str]] = []
        self.rejected: list[Reject] = []
        self.continued = at = 0
        while at < len(lines):
            fields, used, reason = self._record(at)
            if fields is not None:
                self.rows.append(fields)
                self.continued += sum(1 for line in lines[at + 1:at + used] if line.strip())
            elif reason:
                self.rejected.append((source, at + dialect.header_lines + 1, reason, excerpt(lines[at])))
            at += used

    def _record(self, at: int) -> tuple[list[str] | None, int, str]:
        """The record that starts at a line: (fields or None, lines used, reason if it is broken)."""
        width, quote = len(self.dialect.names), self.dialect.quote
        text, reason = decode_line(self.lines[at].removeprefix(BOM).rstrip(b"\r"))
        if text is None:
            return None, 1, reason
        if not text.strip():
            return None, 1, ""
        fields, is_open = split_record(text, self.dialect.separator, quote, self.escape)
        if not is_open:
            return (fields, 1, "") if len(fields) == width else (None, 1, f"{len(fields)} fields instead of {width}")
        assert quote is not None
        return self._continued(at, text, quote) if len(fields) <= width else (None, 1, "unbalanced quotes")

    def _continued(self, at: int, text: str, quote: str) -> tuple[list[str] | None, int, str]:
        """A record whose last field goes on in the lines below."""
        width, separator, parts = len(self.dialect.names), self.dialect.separator, [text]
        for used in range(2, min(RECORD_LINES, len(self.lines) - at) + 1):
            more, reason = decode_line(self.lines[at + used - 1].rstrip(b"\r"))
            if more is None:
                return None, 1, reason
            parts.append(more)
            if quote not in more:
                continue
            whole = "\n".join(parts)
            fields, is_open = split_record(whole, separator, quote, self.escape)
            if len(fields) > width:
                break
            if not is_open:
                if len(fields) == width and not looks_swallowed(whole, separator, quote):
                    return fields, used, ""
                break
        alone = text.split(separator)
        if len(alone) == width and text.count(quote) % 2 == 0:
            return alone, 1, ""  # `"7" pipe`: a text that begins with a quoted word
        return None, 1, "unbalanced quotes"


def _named(reading: Reading, path: Path) -> Reading:
    """The reading without the columns that have no name: an index that pandas wrote, a separator at line ends."""
    unnamed = [name for name in reading.rows.columns if name.startswith(UNNAMED)]
    if not unnamed:
        return reading
    if any(reading.rows[name].null_count() < reading.rows.height for name in unnamed):
        log.warning("%s: %d column without a name is ignored", path, len(unnamed))
    return Reading(reading.rows.drop(unnamed), reading.rejects, reading.delivered)
