"""What callers hand over, read as plain Python: an id as text, a list as a list, a table as its rows.

Whatever cannot be read so is refused in one sentence that names the argument. No Polars expression runs here: its threads
do not survive a fork, and a request may be answered in a child process.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from recsys_core.errors import RequestError
from recsys_core.schema import EXACT, as_text

LARGEST_ID = 10**100  # an integer of more digits is no id
NOTHING = ("NAType", "NaTType")  # pandas' missing values; NaT calls itself a datetime
SHOWN = 40  # characters of a value in an error


def show(value: Any) -> str:
    """A value in an error: short, on one line, with its type."""
    try:
        text = repr(value)
    except Exception:  # a stranger's repr may do anything
        text = ""
    return f"{' '.join(text.split())[:SHOWN]} ({type(value).__name__})".lstrip()


def is_missing(value: Any) -> bool:
    """Whether a value says nothing: None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in NOTHING:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Decimal) and value.is_nan()


def plain(value: Any) -> Any:
    """A NumPy or pandas scalar as Python's own; anything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        return float(value) if isinstance(value, np.floating) else value.item()
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") and not is_missing(value) else value


def read_id(value: Any, where: str) -> str | None:
    """An id as text without surrounding spaces; None where it is missing or empty.

    Integers and integral floats are read as integers, as ingestion reads them.

    Raises:
        RequestError: it is neither text nor a number.

    >>> read_id(" 007 ", "history"), read_id(7.0, "history"), read_id(np.int64(7), "history"), read_id(None, "history")
    ('007', '7', '7', None)
    """
    if isinstance(value, str):
        return str.strip(value) or None
    value = plain(value)
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str.strip(value) or None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_ID:
        return str(int(value))
    if isinstance(value, float | Decimal):
        return as_text(float(value)) if abs(float(value)) <= EXACT else str(value)
    if isinstance(value, UUID):
        return str(value)
    raise RequestError(where, f"{show(value)} is no id", "send ids as text or numbers")


def read_list(value: Any, where: str, what: str = "item ids", ordered: bool = True) -> list[Any]:
    """A list, tuple, array or column as a list, and a table as the list of its rows.

    Args:
        value: what the caller gave.
        where: the argument's name, for the error.
        what: of what the list should be, for the error.
        ordered: sets have no order, so they are refused.

    Raises:
        RequestError: it is none of these.
    """
    if isinstance(value, list):
        return value
    fix = f"send a list of {what}"
    if isinstance(value, str | bytes | bytearray | memoryview):
        raise RequestError(where, f"{show(value)} is one text", fix)
    if value is None or isinstance(value, Mapping) or (ordered and isinstance(value, set | frozenset)):
        raise RequestError(where, f"{show(value)} is no list", fix)
    if isinstance(value, np.ndarray) and value.ndim != 1:
        raise RequestError(where, f"an array of {value.ndim} dimensions is no list", fix)
    try:
        found = _rows(value)
    except Exception as error:  # another library's container; whatever it raises is about this value
        raise RequestError(where, f"{show(value)} cannot be read ({type(error).__name__})", fix) from None
    if not isinstance(found, list):
        raise RequestError(where, f"{show(value)} is no list", fix)
    return found


def read_ids(value: Any, where: str, ordered: bool = True) -> list[str | None]:
    """A list of ids, see `read_list` and `read_id`; None where one is missing.

    Raises:
        RequestError: no list, or an entry that is no id.
    """
    return [read_id(one, f"{where}, entry {place}") for place, one in enumerate(read_list(value, where, ordered=ordered))]


def _rows(value: Any) -> Any:
    """The list that a container holds, asked the way its library is asked; None where there is none."""
    if hasattr(value, "to_dicts"):  # a Polars frame
        return value.to_dicts()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame
        return value.to_dict("records")
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow, Polars and pandas, NumPy
        if hasattr(value, method):
            return getattr(value, method)()
    return list(value) if isinstance(value, Collection) else None


def read_mapping(value: Any, where: str) -> dict[str, Any]:
    """Names and values as a dictionary; a missing one is empty.

    Raises:
        RequestError: it is no mapping, or a name is no text.
    """
    if is_missing(value):
        return {}
    if not isinstance(value, Mapping):
        raise RequestError(where, f"{show(value)} is no mapping", "send names with their values")
    for name in value:
        if not isinstance(name, str):
            raise RequestError(where, f"the name {show(name)} is no text", "send names as text")
    return dict(value)


def read_scalar(value: Any, where: str) -> Any:
    """One value of a shopper or a place as Python's own; None where it is missing.

    Raises:
        RequestError: it is neither text, number, flag nor date.
    """
    value = plain(value)
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str.encode(value, "utf-8", "replace").decode()  # half a surrogate pair is no text to a database
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool | int | float | Decimal | date):
        return value
    raise RequestError(where, f"{show(value)} is no single value", "send text, a number, a flag or a date")


def read_flag(value: Any, where: str) -> bool:
    """True or False; a missing one is False.

    Raises:
        RequestError: it is neither.
    """
    value = plain(value)
    if is_missing(value):
        return False
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise RequestError(where, f"{show(value)} is neither true nor false", "send True or False")


def read_number(value: Any, where: str, fix: str) -> float:
    """A finite number or a flag as float.

    Raises:
        RequestError: it is none; `fix` says what to do.
    """
    number = plain(value)
    try:
        if isinstance(number, bool | int | float | Decimal) and math.isfinite(float(number)):
            return float(number)
    except (OverflowError, ValueError):
        pass
    raise RequestError(where, f"{show(value)} is no number", fix)


def read_k(k: Any) -> int:
    """How many items are asked for.

    Raises:
        RequestError: no positive whole number.
    """
    k = plain(k)
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise RequestError("request", f"k is {show(k)}", "ask for at least one item")
    return k
