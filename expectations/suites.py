"""Great Expectations suites over every table, from the first raw row to the last feature.

Every suite starts with row count, null and finiteness expectations, because range and set
expectations pass on empty tables and on all-null columns, and a minimum lets infinity through.
The library reads pandas frames, where null and NaN are one; finiteness and keys of several columns
are therefore computed in Polars first and expected to be true.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recsys_core.schema import EVENT_TYPES, FEATURE_TABLES, POSITIVE_EVENTS, SEARCH

# Raw tables hold dirt that cleaning sets aside row by row; what must stop a load is a column of
# which most is missing or broken: a renamed, remapped or retyped one.
MOSTLY_RAW = 0.5
SECONDS_1971 = 31_536_000


@dataclass(frozen=True)
class Expectation:
    """One named expectation.

    Args:
        name: slug of letters, digits and underscores, unique within its suite.
        kind: class name in `great_expectations.expectations`. arguments: its arguments.
        columns: columns of the table it needs. computed: expression for the Boolean column `name`
            that the expectation reads, where pandas cannot tell.
    """

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    computed: pl.Expr | None = None


@dataclass(frozen=True)
class ExpectationResult:
    """Args: name: of the expectation. success: it holds. observed: the value or share seen.
    detail: what was expected, and examples of what broke it."""

    name: str
    success: bool
    observed: str
    detail: str


def _rows() -> Expectation:
    return Expectation("has_rows", "ExpectTableRowCountToBeBetween", {"min_value": 1})


def _present(column: str, mostly: float = 1.0) -> Expectation:
    return Expectation(f"{column}_present", "ExpectColumnValuesToNotBeNull",
                       {"column": column, "mostly": mostly}, (column,))


def _holds(name: str, columns: Sequence[str], condition: pl.Expr, mostly: float = 1.0) -> Expectation:
    return Expectation(name, "ExpectColumnValuesToBeInSet",
                       {"column": name, "value_set": [True], "mostly": mostly}, tuple(columns), condition)


def _finite(column: str, mostly: float = 1.0) -> Expectation:
    return _holds(f"{column}_finite", [column], pl.col(column).is_finite().fill_null(True), mostly)


def _unique(column: str) -> Expectation:
    return Expectation(f"{column}_unique", "ExpectColumnValuesToBeUnique", {"column": column}, (column,))


def _unique_key(*columns: str) -> Expectation:
    return _holds("_".join(columns) + "_unique", columns, ~pl.struct(columns).is_duplicated())


def _one_of(column: str, values: Sequence[Any]) -> Expectation:
    return Expectation(f"{column}_known", "ExpectColumnValuesToBeInSet",
                       {"column": column, "value_set": list(values)}, (column,))


def _between(column: str, low: float, high: float | None = None, strict: bool = False) -> Expectation:
    limits = {"min_value": low, "max_value": high, "strict_min": strict}
    return Expectation(f"{column}_in_range", "ExpectColumnValuesToBeBetween",
                       {"column": column, **limits}, (column,))


def _subject(mostly: float = 1.0) -> Expectation:
    """A search has a query, every other event an item."""
    subject = pl.when(pl.col("event_type") == SEARCH).then("query").otherwise("item_id")
    return _holds("item_or_query_present", ["event_type", "item_id", "query"], subject.is_not_null(), mostly)


def _context() -> Expectation:
    """Nothing, or a JSON object text with at least one name."""
    written = pl.col("context").str.contains(r'^\{"[a-z][a-z0-9_]*": ".*"\}$')
    return _holds("context_is_an_object", ["context"], written.fill_null(True))


def _days_in_order() -> Expectation:
    in_order = (pl.col("first_day") <= pl.col("last_day")).fill_null(True)
    return _holds("days_in_order", ["first_day", "last_day"], in_order)


def _count_suite(table: str, key: Sequence[str], required: Sequence[str] = ()) -> list[Expectation]:
    """Keys present and unique, every number present, finite and not negative."""
    numbers = {name: dtype for name, dtype in FEATURE_TABLES[table].items() if dtype.is_numeric()}
    counts = [name for name in numbers if name not in ("position", "propensity", "label")]
    floats = [name for name, dtype in numbers.items() if dtype.is_float()]
    return [_rows(), *map(_present, [*key, *required, *counts]), *map(_finite, floats),
            _unique(key[0]) if len(key) == 1 else _unique_key(*key),
            *(_between(name, 0) for name in counts)]


SUITES: dict[str, list[Expectation]] = {
    "raw_events": [
        _rows(), *(_present(name, MOSTLY_RAW) for name in ("user_id", "timestamp", "event_type")),
        _subject(MOSTLY_RAW),
        *(_finite(name, MOSTLY_RAW) for name in ("price", "quantity", "rating", "propensity")), _context(),
    ],
    "raw_items": [
        _rows(), *(_present(name, MOSTLY_RAW) for name in ("item_id", "title")), _finite("price", MOSTLY_RAW),
    ],
    "raw_shelves": [_rows(), _present("shelf"), _present("item_id"), _days_in_order()],
    "raw_promotions": [_rows(), _present("item_id"), _present("placement"), _days_in_order(), _context()],
    "raw_judgments": [
        _rows(), *(_present(name, MOSTLY_RAW) for name in ("query", "item_id", "gain")), _finite("gain", MOSTLY_RAW),
    ],
    "clean_events": [
        _rows(),
        *map(_present, ("event_id", "user_id", "timestamp", "event_type", "session_id", "day")), _subject(),
        *map(_finite, ("price", "quantity", "rating", "propensity")),
        _unique("event_id"), _one_of("event_type", EVENT_TYPES), _between("timestamp", SECONDS_1971),
        _between("price", 0), _between("quantity", 0, strict=True), _between("propensity", 0, 1),
        _context(),
    ],
    "clean_items": [
        _rows(), *map(_present, ("item_id", "title", "text")), _finite("price"), _unique("item_id"),
        _holds("text_not_blank", ["text"], pl.col("text").str.strip_chars().str.len_bytes() > 0),
        _between("price", 0),
    ],
    "item_features": _count_suite("item_features", ("item_id", "day")),
    "segment_events": [
        _rows(), _present("segment"), _present("event_id"), _unique_key("segment", "event_id"),
    ],
    "interactions": [
        _rows(), *(_present(name) for name in FEATURE_TABLES["interactions"] if name != "context"), _context(),
        _unique("event_id"),
        _one_of("event_type", POSITIVE_EVENTS), _between("timestamp", SECONDS_1971),
    ],
    "exposures": [
        *_count_suite("exposures", ("event_id",), ("user_id", "item_id", "timestamp", "label")),
        _one_of("label", (0, 1)), _between("propensity", 0, 1),
        _holds("conversions_below_impressions", ["item_conversions", "item_impressions"],
               pl.col("item_conversions") <= pl.col("item_impressions")),
    ],
}


def expectation_names(table_name: str) -> list[str]:
    """The names of a table's expectations, in order, without loading Great Expectations.

    >>> expectation_names("segment_events")
    ['has_rows', 'segment_present', 'event_id_present', 'segment_event_id_unique']
    """
    return [expectation.name for expectation in SUITES[table_name]]


def validate(table_name: str, frame: pl.DataFrame, allow_empty: bool = False) -> list[ExpectationResult]:
    """Check one table against its suite.

    Args:
        table_name: a key of `SUITES`. frame: the table.
        allow_empty: an empty table is right (a shop without impressions has no exposures, one
            without segments no segment events); every expectation then holds.

    Returns:
        One result per expectation, in the order of `expectation_names`. A missing column fails
        the expectations that need it.
    """
    suite = SUITES[table_name]
    if allow_empty and frame.is_empty():
        return [ExpectationResult(e.name, True, "0 rows", "an empty table is allowed here") for e in suite]
    runnable = [e for e in suite if all(column in frame.columns for column in e.columns)]
    outcomes = dict(zip((e.name for e in runnable), _run(table_name, _as_pandas(frame, runnable), runnable),
                        strict=True))
    results = []
    for expectation in suite:
        missing = [column for column in expectation.columns if column not in frame.columns]
        results.append(outcomes[expectation.name] if not missing else ExpectationResult(
            expectation.name, False, "missing", f"column {missing[0]!r} is missing"))
    return results


def _as_pandas(frame: pl.DataFrame, suite: Sequence[Expectation]) -> Any:
    """Only the columns that the suite reads, in the forms that pandas and its hash are quick with.

    Times become seconds and days since the epoch, repeated text becomes categories.
    """
    read = dict.fromkeys(e.arguments["column"] for e in suite if "column" in e.arguments)
    computed = {e.name: e.computed for e in suite if e.computed is not None}
    keys = {e.columns[0] for e in suite if e.kind == "ExpectColumnValuesToBeUnique"}
    columns = [computed[name].alias(name) if name in computed
               else _compact(name, frame.schema[name], name in keys) for name in read]
    return frame.select(columns or pl.first()).to_pandas()


def _compact(name: str, dtype: pl.DataType, is_key: bool) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).dt.epoch("s")
    if dtype == pl.Date:
        return pl.col(name).dt.epoch("d")
    if dtype == pl.String and not is_key:
        return pl.col(name).cast(pl.Categorical)
    return pl.col(name)


def _run(table_name: str, data: Any, suite: Sequence[Expectation]) -> list[ExpectationResult]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: no telemetry
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # hundreds of lines per import
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(table_name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": data})
    expectations = [getattr(gxe, e.kind)(**e.arguments) for e in suite]
    report = batch.validate(gx.ExpectationSuite(name=table_name, expectations=expectations),
                            result_format={"result_format": "BASIC", "partial_unexpected_count": 3})
    # The report groups expectations by column: bring it back to the suite's order.
    found = {_identity(result.expectation_config.type, result.expectation_config.kwargs): result
             for result in report.results}
    return [_as_result(e, found[_identity(built.expectation_type, built.configuration.kwargs)])
            for e, built in zip(suite, expectations, strict=True)]


def _identity(kind: str, arguments: dict[str, Any]) -> tuple[str, str | None]:
    return kind, arguments.get("column")


def _as_result(expectation: Expectation, outcome: Any) -> ExpectationResult:
    seen = outcome.result or {}
    observed = str(seen["observed_value"]) if "observed_value" in seen else (
        f"{seen.get('unexpected_count', '?')} of {seen.get('element_count', '?')} rows break it")
    limits = {name: value for name, value in expectation.arguments.items() if value is not None}
    detail = f"{expectation.kind}({', '.join(f'{name}={value!r}' for name, value in limits.items())})"
    if seen.get("partial_unexpected_list"):
        detail += f", for example {seen['partial_unexpected_list']}"
    errors = [entry["exception_message"] for entry in _exceptions(outcome.exception_info)]
    return ExpectationResult(expectation.name, bool(outcome.success) and not errors, observed,
                             "; ".join([detail, *errors]))


def _exceptions(info: Any) -> list[dict[str, Any]]:
    """Great Expectations reports one exception flat, several nested by metric."""
    entries = [info] if info and "raised_exception" in info else list((info or {}).values())
    return [entry for entry in entries if entry and entry.get("raised_exception")]
