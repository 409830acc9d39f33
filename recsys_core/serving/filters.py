"""Filters over the items' columns, as NumPy masks: no Polars expression runs in a request, so a forked worker answers too."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from recsys_core.arguments import plain, read_list, read_number, show
from recsys_core.errors import RequestError
from recsys_core.retrieval import Facet, count_bands, count_values
from recsys_core.schema import CATEGORY_SEPARATOR, as_text

BOUNDS: dict[str, Callable[[Any, Any], Any]] = {"min": operator.ge, "max": operator.le}


class _Coded(NamedTuple):
    """A column of few distinct values: code int32 [N] of each item, −1 where it has none."""

    codes: np.ndarray
    code_of: dict[Any, int]

    def where(self, holds: Callable[[Any], bool]) -> np.ndarray:
        """bool [N]: the items whose value holds."""
        found = np.fromiter(map(holds, self.code_of), bool, len(self.code_of))
        return np.append(found, False)[self.codes]


class ItemColumns:
    """The columns of the items, each turned into arrays when a filter first asks for it.

    Args:
        items: the catalogue's.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        self.items = items
        self._coded: dict[str, _Coded] = {}
        self._numbers: dict[str, np.ndarray] = {}

    def matching(self, filters: Mapping[str, Any]) -> np.ndarray:
        """bool [N]: the items that meet every filter.

        Args:
            filters: {column: value, list of values, or {"min": …, "max": …}}; a category also matches everything below it.

        Raises:
            RequestError: a column that the items do not have, or a value of another type.
        """
        mask = np.ones(self.items.height, bool)
        for column, wanted in filters.items():
            self._check(column)
            try:
                mask &= self._in_range(column, wanted) if isinstance(wanted, Mapping) else self._equal(column, wanted)
            except TypeError:  # a time with a zone beside one without
                raise self._unlike(column, wanted) from None
        return mask

    def codes(self, column: str) -> np.ndarray:
        """int32 [N]: items with the same value have the same code, −1 is no value.

        Raises:
            RequestError: a column that the items do not have.
        """
        self._check(column)
        return self._codes(column).codes

    def facet(self, column: str, rows: np.ndarray) -> list[Facet]:
        """How many of some items, int [n], have which values, or lie in which range of numbers.

        Raises:
            RequestError: a column that the items do not have.
        """
        self._check(column)
        if self.items.schema[column].is_numeric():
            return count_bands(self._array(column).astype(np.float64), rows)
        coded = self._codes(column)
        return count_values(coded.codes, coded.code_of, rows, path=column == "category")

    def _check(self, column: str) -> None:
        if column not in self.items.columns:
            raise RequestError("filters", f"items have no column {show(column)}", f"use one of {', '.join(self.items.columns)}")

    def _equal(self, column: str, wanted: Any) -> np.ndarray:
        wanted = plain(wanted)
        single = isinstance(wanted, str | bytes) or not hasattr(wanted, "__len__")
        values = [self._read(column, value) for value in
                  ([wanted] if single else read_list(wanted, f"filters, {column!r}", "values", ordered=False))]
        if self.items.schema[column].is_numeric():
            nothing = np.zeros(self.items.height, bool)
            return np.logical_or.reduce([nothing, *(self._array(column) == value for value in values)])
        coded = self._codes(column)
        codes = [coded.code_of[value] for value in values if value in coded.code_of]
        mask = np.isin(coded.codes, codes) if len(codes) != 1 else coded.codes == codes[0]
        if column == "category" and values:
            below = tuple(f"{value}{CATEGORY_SEPARATOR}" for value in values)
            mask = mask | coded.where(lambda path: path.startswith(below))
        return mask

    def _in_range(self, column: str, wanted: Mapping[str, Any]) -> np.ndarray:
        if not wanted or set(wanted) - BOUNDS.keys():
            raise RequestError("filters", f"the range of {column!r} has keys {show(list(wanted))}", "use min and max")
        mask = np.ones(self.items.height, bool)
        for name, bound in wanted.items():
            if bound is not None:
                mask &= self._within(column, BOUNDS[name], self._read(column, bound))
        return mask

    def _within(self, column: str, compare: Callable[[Any, Any], Any], bound: Any) -> np.ndarray:
        if self.items.schema[column].is_numeric():
            return compare(self._array(column), bound)
        return self._codes(column).where(lambda value: compare(value, bound))

    def _read(self, column: str, value: Any) -> Any:
        """A wanted value in the column's own type."""
        dtype, given = self.items.schema[column], plain(value)
        if dtype.is_numeric():
            if isinstance(given, bool):
                raise self._unlike(column, value)
            read_number(given, "filters", f"compare {column!r}, which holds {dtype}, with a number")
            return given if isinstance(given, int) else float(given)
        if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
            if isinstance(given, str):
                return given if dtype == pl.Null or given in self._codes(column).code_of else given.strip()
            if isinstance(given, int | float) and not isinstance(given, bool) and given == given:
                return as_text(given)
        elif dtype == pl.Boolean and isinstance(given, bool):
            return given
        elif dtype in (pl.Date, pl.Datetime):
            return self._moment(column, value, given)
        raise self._unlike(column, value)

    def _moment(self, column: str, value: Any, given: Any) -> date:
        dtype = self.items.schema[column]
        try:
            moment = datetime.fromisoformat(given.strip()) if isinstance(given, str) else given
        except ValueError:
            raise self._unlike(column, value) from None
        if not isinstance(moment, date):
            raise self._unlike(column, value)
        if dtype == pl.Date:
            return moment.date() if isinstance(moment, datetime) else moment
        return moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)

    def _unlike(self, column: str, value: Any) -> RequestError:
        return RequestError("filters", f"{column!r} holds {self.items.schema[column]}, {show(value)} is none",
                            "compare like with like")

    def _codes(self, column: str) -> _Coded:
        found = self._coded.get(column)
        if found is None:
            code_of: dict[Any, int] = {}
            codes = [-1 if value is None else code_of.setdefault(value, len(code_of))
                     for value in self.items[column].to_list()]
            found = self._coded[column] = _Coded(np.array(codes, np.int32), code_of)
        return found

    def _array(self, column: str) -> np.ndarray:
        """Numbers; NaN where an item has none, which equals nothing and lies in no range."""
        if column not in self._numbers:
            values = self.items[column]
            self._numbers[column] = (values if values.dtype.is_integer() else values.cast(pl.Float64)).to_numpy()
        return self._numbers[column]
