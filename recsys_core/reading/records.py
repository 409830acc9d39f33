"""Records of a text table without a CSV parser: where one ends, how many there are, and what a stray quote costs.

The fast parser follows a quote wherever it leads, over as many lines as it takes. So the quotes of a file are looked at
first: each must open a field, close one or be doubled. Where one does neither, or where the lines inside a field look
like records themselves, the file is read record by record instead.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LINE, RETURN, BACKSLASH = ord("\n"), ord("\r"), ord("\\")
Positions = npt.NDArray[np.int64]


class Record(NamedTuple):
    """A split record.

    Attributes:
        fields: what a text holds.
        is_open: its last field is quoted and does not end in the text.
    """

    fields: list[str]
    is_open: bool


def split_record(text: str, separator: str, quote: str | None, escape: bool = False) -> Record:
    """Split one record, lines of a quoted field included; a quote that ends no field is a character like others.

    Args:
        text: the record without its line end.
        separator: of the table.
        quote: of the table.
        escape: a backslash escapes a quote.

    >>> split_record('7,5" pipe,"a, ""b"" c"', ",", '"')
    Record(fields=['7', '5" pipe', 'a, "b" c'], is_open=False)
    >>> split_record('7,"5" pipe"', ",", '"').fields, split_record('7,"pipe', ",", '"').is_open
    (['7', '5" pipe'], True)
    """
    if quote is None or quote not in text:
        return Record(text.split(separator), False)
    fields, at = [], 0
    while True:
        if text.startswith(quote, at):
            field, end = _quoted(text, at + 1, separator, quote, escape)
            fields.append(field)
            if end < 0:
                return Record(fields, True)
        else:
            end = text.find(separator, at)
            end = len(text) if end < 0 else end
            fields.append(text[at:end])
        if end >= len(text):
            return Record(fields, False)
        at = end + len(separator)


def _quoted(text: str, at: int, separator: str, quote: str, escape: bool) -> tuple[str, int]:
    """The field whose opening quote stands before `at`, and where it ends; -1: nowhere in this text."""
    parts, start = [], at
    while True:
        found = text.find(quote, at)
        if found < 0:
            parts.append(text[start:])
            return "".join(parts), -1
        if escape and _escaped(text, start, found):
            parts += [text[start:found - 1], quote]
            at = start = found + 1
        elif text.startswith(quote, found + 1) and not escape:
            parts += [text[start:found], quote]
            at = start = found + 2
        elif found + 1 == len(text) or text.startswith(separator, found + 1):
            parts.append(text[start:found])
            return "".join(parts), found + 1
        else:
            at = found + 1  # neither doubled nor at the end of a field: a character like others


def _escaped(text: str, start: int, quote_at: int) -> bool:
    """An odd number of backslashes stands before the quote."""
    stretch = text[start:quote_at]
    return bool((len(stretch) - len(stretch.rstrip("\\"))) % 2)


def count_records(body: bytes, quote: str | None) -> int:
    """Records that a table holds, by its line ends outside quotes; blank lines do not count.

    >>> count_records(b'1,a\\n\\n2,"b\\nc"', '"')
    2
    """
    raw = np.frombuffer(body, np.uint8)
    has_quotes = quote is not None and quote.encode() in body
    if not has_quotes and not _may_hold_blank_lines(body):
        return body.count(b"\n") + (not body.endswith(b"\n") and len(body) > 0)
    ends = np.flatnonzero(raw == LINE)
    if has_quotes:
        quotes = np.flatnonzero(raw == ord(str(quote)))
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    stops = np.concatenate([ends, [len(body)]])
    short = np.flatnonzero(stops - starts <= 80)  # only a short line is looked at: blanks are short
    blank = sum(not body[starts[n]:stops[n]].strip() for n in short[_first_is_space(raw, starts[short], stops[short])])
    return len(starts) - int(blank)


def _may_hold_blank_lines(body: bytes) -> bool:
    return body[:1].isspace() or b"\n\n" in body or b"\n\r" in body or b"\n " in body or b"\n\t" in body


def _first_is_space(raw: npt.NDArray[np.uint8], starts: Positions, stops: Positions) -> npt.NDArray[np.bool_]:
    """Per line: it is empty, or begins with white space."""
    if not len(raw):
        return np.ones(len(starts), bool)
    first = raw[np.minimum(starts, len(raw) - 1)]
    return np.asarray((starts == stops) | np.isin(first, (32, 9, 13, 11, 12)))


def has_regular_quotes(body: bytes, separator: str, quote: str | None) -> bool:
    """Every quote opens a field, closes one or is doubled, and no field holds lines that look like records."""
    if quote is None or quote.encode() not in body:
        return True
    raw = np.frombuffer(body, np.uint8)
    quotes = np.flatnonzero(raw == ord(quote))
    if len(quotes) % 2 or len(separator) != 1:
        return False
    mark, field_ends = ord(quote), (ord(separator), LINE)
    before = np.where(quotes > 0, raw[np.maximum(quotes - 1, 0)], LINE)
    after = np.where(quotes < len(raw) - 1, raw[np.minimum(quotes + 1, len(raw) - 1)], LINE)
    opening, closing = before[::2], after[1::2]
    opens = np.isin(opening, field_ends)
    opens[1:] |= (opening[1:] == mark) & (quotes[::2][1:] == quotes[1::2][:-1] + 1)
    closes = np.isin(closing, (*field_ends, RETURN))
    closes[:-1] |= closing[:-1] == mark
    if not (opens.all() and closes.all()):
        return False
    if BACKSLASH in before[1::2]:
        return False  # a backslash before a closing quote may mean that it does not close
    return not _swallows_records(body, quotes, separator, quote)


def _swallows_records(body: bytes, quotes: Positions, separator: str, quote: str) -> bool:
    """Some quoted stretch spans lines that look like records of this table."""
    raw = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(raw == LINE)
    inside = np.searchsorted(quotes, ends) % 2 == 1
    if not inside.any():
        return False
    bounds = ends[~inside]
    first = body[:int(bounds[0]) if len(bounds) else len(body)].decode("utf-8", "replace")
    fewest = len(split_record(first, separator, quote).fields) - 1
    # Only a line with as many separators as a record has can look like one: most texts over several lines hold none such.
    separators = np.searchsorted(np.flatnonzero(raw == ord(separator)), np.concatenate([[0], ends, [len(body)]]))
    suspects = ends[inside & (np.diff(separators)[1:] >= fewest)]
    for at in np.unique(np.searchsorted(bounds, suspects)):
        start = 0 if at == 0 else int(bounds[at - 1]) + 1
        stop = int(bounds[at]) if at < len(bounds) else len(body)
        if looks_swallowed(body[start:stop].decode("utf-8", "replace").rstrip("\r"), separator, quote):
            return True
    return False


def looks_swallowed(text: str, separator: str, quote: str) -> bool:
    """A record over several lines most of which read as records of the same shape: a stray quote joined them.

    >>> looks_swallowed('7,"5 in,3\\n8,mug,4\\n9,cup",5', ",", '"'), looks_swallowed('7,"red,\\ngreen",3', ",", '"')
    (True, False)
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    width = len(split_record(text, separator, quote).fields)
    shape = _shape(lines[0].split(separator)[0])
    alike = 0
    for line in lines[1:]:
        alone = line.split(separator)
        whole = len(alone) == width or len(split_record(line, separator, quote).fields) == width
        alike += whole and _shape(alone[0]) == shape
    return 2 * alike >= len(lines) - 1 > 0


def _shape(text: str) -> str:
    """What a first field is made of: `SKU-017` is `a-0`."""
    text = re.sub(r"\d+", "0", text.strip().strip('"'))
    return re.sub(r"[^\W\d_]+", "a", text)
