"""One column of a shop's file as text, number or category path, whatever its spelling."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Callable

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig

log = logging.getLogger(__name__)

# What people and programs write where a value is missing, in lower case.
NULL_WORDS = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "nat", "\\n", "-", "--", "–")
CURRENCY = r"^\s*(?:[$€£¥]|[A-Z]{3}\s)\s*|\s*(?:[$€£¥]|\s[A-Z]{3})\s*$"
GROUPED = r"^-?\d{1,3}(?:[ \u{A0}\u{202F}'’]\d{3})+(?:[.,]\d+)?$"  # 1 299,00
GROUP_MARK = r"[ \u{A0}\u{202F}'’]"
COMMA_GROUPS, POINT_GROUPS = r"^-?\d{1,3}(,\d{3})+(\.\d+)?$", r"^-?\d{1,3}(\.\d{3})+(,\d+)?$"
COMMA_DECIMAL = r"^-?(?:\d*,(?:\d{1,2}|\d{4,})|0\d*,\d+|\d{4,},\d{3}|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,})$"
POINT_DECIMAL = r"^-?(?:\d*\.(?:\d{1,2}|\d{4,})|0\d*\.\d+|\d{4,}\.\d{3}|\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,})$"
EITHER = r"^-?[1-9]\d{0,2}[.,]\d{3}$"  # 12,500 is twelve and a half to some and twelve thousand to others
RANGE = r"^\d+(?:[.,]\d+)?\s*(?:-|–|—|to|bis)\s*[$€£¥]?\s*\d+(?:[.,]\d+)?$"
NUMERIC = r"^-?\d+(\.0+)?$"
NUMPY_LIST = re.compile(r"^\[\s*'[^']*'(?:\s+'[^']*')+\s*\]$")


def as_text(values: pl.Series, join: str | None = None) -> pl.Series:
    """Any column as text, as supplied; an empty text is null, lists become JSON or are joined by `join`.

    A float that is a whole number is written as one, because programs turn integers with gaps into floats. NaN is null.

    >>> as_text(pl.Series([17850.0, None])).to_list(), as_text(pl.Series(["007", ""])).to_list()
    (['17850', None], ['007', None])
    >>> as_text(pl.Series([["Toys", "Games"], []]), " > ").to_list()
    ['Toys > Games', None]
    """
    dtype = values.dtype
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        lists = [None if value is None else json.dumps(value, default=str) for value in values.to_list()]
        text = pl.Series(values.name, lists, pl.String)
    elif dtype.is_float() or dtype.is_decimal():
        text = _whole(values)
    elif dtype == pl.Object:
        text = pl.Series(values.name, [None if value is None else str(value) for value in values], pl.String)
    else:
        text = values.cast(pl.String, strict=False)
    if join is not None and text.str.starts_with("[").any():
        text = text.map_elements(lambda value: _joined(value, join), return_dtype=pl.String)
    return text.replace("", None)


def _whole(values: pl.Series) -> pl.Series:
    """Floats as text, whole numbers without their decimals."""
    name = values.name
    floats = pl.col(name).cast(pl.Float64)
    whole = floats.is_finite() & (floats == floats.round()) & (floats.abs() < 2.0 ** 63)
    return values.to_frame().select(
        pl.when(whole).then(pl.when(whole).then(floats).cast(pl.Int64, strict=False).cast(pl.String))
        .when(floats.is_finite()).then(pl.col(name).cast(pl.String))
        .when(floats.is_infinite()).then(pl.lit("inf")).alias(name)).to_series()


def as_id(values: pl.Series, config: ShopConfig) -> pl.Series:
    """A column of ids as text; a word for a missing value among numbers is null.

    >>> as_id(pl.Series(["17", "NaN", "5"]), ShopConfig()).to_list(), as_id(pl.Series(["na", "NaN"]), ShopConfig()).to_list()
    (['17', None, '5'], ['na', 'NaN'])
    """
    text = without_words(as_text(values), config)
    words = is_null_word(text, NULL_WORDS)
    if not words.any() or words.all():
        return text
    others = text.filter(~words).drop_nulls()
    if not others.str.strip_chars().str.contains(NUMERIC).all():
        return text
    return text.to_frame().select(pl.when(~words).then(pl.first())).to_series()


def without_words(text: pl.Series, config: ShopConfig) -> pl.Series:
    """Text without the words that the shop declares to mean nothing (`null_words`)."""
    if not config.null_words:
        return text
    words = is_null_word(text, config.null_words)
    return text.to_frame().select(pl.when(~words).then(pl.first())).to_series() if words.any() else text


def is_null_word(text: pl.Series, words: tuple[str, ...]) -> pl.Series:
    """Which texts only say that there is no value, in any case; null ones do not count."""
    short = text.str.len_bytes() <= max(len(word.encode()) for word in words) + 2
    if not short.any():
        return pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)
    lower = [word.strip().lower() for word in words]
    return (short & text.str.strip_chars().str.to_lowercase().is_in(lower)).fill_null(False)


def as_category(values: pl.Series, separator: str) -> pl.Series:
    """Category paths with their levels joined by `schema.CATEGORY_SEPARATOR`."""
    text = as_text(values, schema.CATEGORY_SEPARATOR)
    if separator == schema.CATEGORY_SEPARATOR:
        return text
    return text.str.replace_all(separator, schema.CATEGORY_SEPARATOR, literal=True)


def as_number(values: pl.Series, artefact: str, config: ShopConfig) -> pl.Series:
    """Any column as Float64: missing stays null, "$1,299.00" is read, what is no number becomes NaN.

    A comma is the decimal mark where the column shows that it is ("12,50"). A range ("12.50-15.00") is no price:
    it counts as missing.

    Raises:
        ShopError: several values and not one of them is a number (the column was retyped), or a value that is two
            different numbers in this column.
    """
    name = values.name
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64).fill_nan(None)
    text = values.cast(pl.String, strict=False) if not values.dtype.is_nested() else as_text(values)
    text = without_words(text.str.strip_chars(), config)
    numbers = text.cast(pl.Float64, strict=False)
    unread = text.is_not_null() & (numbers.is_null() | numbers.is_nan().fill_null(False))
    if not unread.any() and config.decimal != ",":
        return numbers
    missing = is_null_word(text, config.null_words or NULL_WORDS)
    text = text.to_frame().select(pl.when(~missing).then(pl.col(name).str.replace_all(CURRENCY, ""))).to_series()
    text = text.to_frame().select(pl.when(pl.col(name).str.contains(GROUPED)).then(
        pl.col(name).str.replace_all(GROUP_MARK, "")).otherwise(pl.col(name))).to_series()
    ranges = text.str.contains(RANGE).fill_null(False)
    if ranges.any():
        log.warning("%s: %d values of column %r are ranges, such as %r; they count as missing", artefact, ranges.sum(),
                    name, text.filter(ranges)[0])
        text = text.to_frame().select(pl.when(~ranges).then(pl.first())).to_series()
    numbers = _with_decimal_mark(text, artefact, config.decimal).cast(pl.Float64, strict=False)
    given = text.is_not_null()
    if given.sum() > 1 and numbers.null_count() == len(numbers):
        raise retyped(values.filter(given), "a number", artefact)
    return numbers.to_frame().select(
        pl.when(pl.lit(given) & pl.first().is_null()).then(float("nan")).otherwise(pl.first()).alias(name)).to_series()


def _with_decimal_mark(text: pl.Series, artefact: str, declared: str | None) -> pl.Series:
    """Numbers with a decimal point, whichever mark the column uses."""
    column = pl.first()
    comma, point = text.str.contains(COMMA_DECIMAL).fill_null(False), text.str.contains(POINT_DECIMAL).fill_null(False)
    if declared is None and comma.any() and point.any() and (either := text.str.contains(EITHER).fill_null(False)).any():
        raise ShopError(artefact, f"column {text.name!r} holds {text.filter(comma)[0]!r} and {text.filter(point)[0]!r}, "
                        f"so {text.filter(either)[0]!r} may be two numbers", "declare `decimal: ','` or `decimal: '.'` in "
                        "shop.yaml")
    by_comma = column.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    uses_comma = column.str.contains(POINT_GROUPS) | column.str.contains(",", literal=True)
    by_comma = pl.when(uses_comma).then(by_comma).otherwise(column)
    by_point = pl.when(column.str.contains(COMMA_GROUPS)).then(column.str.replace_all(",", "", literal=True)).otherwise(column)
    if declared == "," or (declared is None and comma.any() and not point.any()):
        return text.to_frame().select(by_comma).to_series()
    if declared is None and comma.any():
        return text.to_frame().select(pl.when(pl.lit(comma)).then(by_comma).otherwise(by_point)).to_series()
    return text.to_frame().select(by_point).to_series()


def retyped(values: pl.Series, wanted: str, artefact: str, fix: str = "") -> ShopError:
    """The error for a column in which nothing is what it should be."""
    given = values.drop_nulls()
    example = f"(the first is {str(given[0])[:40]!r})" if len(given) else "(it is empty)"
    return ShopError(artefact, f"column {values.name!r}: not one of {len(values)} values is {wanted} {example}",
                     fix or "deliver the column in its former type, or map another one in shop.yaml")


def _joined(value: str, separator: str) -> str:
    """The parts of a list, written as JSON or by Python, as one text; of a list of paths, the first path."""
    parts = _parts(value) if value.startswith("[") else None
    if parts is None:
        return value
    if parts and isinstance(parts[0], list | tuple):
        parts = list(parts[0])
    return separator.join(str(part).strip() for part in parts if part not in (None, ""))


def _parts(value: str) -> list[object] | None:
    """The elements of a list in text, None if it is none."""
    if NUMPY_LIST.match(value):
        return list(re.findall(r"'([^']*)'", value))
    readers: tuple[Callable[[str], object], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            parts = read(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return parts if isinstance(parts, list) else None
    return None
