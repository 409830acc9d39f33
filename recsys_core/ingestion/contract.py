"""A shop's columns under the contract's names and types."""

from __future__ import annotations

import hashlib
import json
import logging

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig, contract_columns, nearest
from recsys_core.ingestion.timestamps import AmbiguousDates, parse_timestamps, pseudo_timestamps
from recsys_core.ingestion.values import NULL_WORDS, as_category, as_id, as_number, as_text, is_null_word, retyped, without_words
from recsys_core.personal import mask_personal_data
from recsys_core.pseudonyms import UserKeys
from recsys_core.reading import ROUNDED

log = logging.getLogger(__name__)

REQUIRED = {"items": ("item_id", "title"), "events": ("user_id",), "users": ("user_id",),
            "judgments": ("query", "item_id", "gain"), "labels": ("task", "label"),
            "shelves": ("shelf", "item_id"), "promotions": ("item_id",)}
IDS = ("event_id", "user_id", "item_id", "session_id")
INTEGER = r"^(0|-?[1-9]\d*)$"
DATE = r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"  # its digits are no telephone number
DECIMAL = r"^-?(0|[1-9]\d*)(\.\d+)?$"


def match_columns(found: list[str], table: str, config: ShopConfig, artefact: str) -> dict[str, str]:
    """Which of the shop's columns plays which part.

    Args:
        found: the file's column names.
        table: "items", "events", …;
        artefact: the file.

    Returns:
        our name → theirs, for every contract column and declared context name the file has.

    Raises:
        ShopError: a required or an explicitly mapped column is missing.
    """
    mapping = {str(name): columns for name, columns in config.columns.items()}.get(table, {})
    matched: dict[str, str] = {}
    required = (*REQUIRED[table], *(config.context if table == "events" else ()))
    for ours in dict.fromkeys([*contract_columns(table, config), *mapping]):
        theirs = mapping.get(ours, [ours])
        present = [name for name in ([theirs] if isinstance(theirs, str) else theirs) if name in found]
        if present:
            matched[ours] = present[0]
        elif isinstance(theirs, str) or (ours in required and ours not in mapping):
            raise _missing(theirs if isinstance(theirs, str) else ours, ours, table, found, artefact, config)
    needed = list(REQUIRED[table])
    if table == "events":
        needed += [] if config.order_only else ["timestamp"]
        if "item_id" not in matched and "query" not in matched:
            needed.append("item_id")
        if config.event_type is None:
            needed.append("event_type")
    for ours in needed:
        if ours not in matched and not (ours == "title" and ours in mapping):
            raise _missing(ours, ours, table, found, artefact, config)
    return matched


def to_events(frame: pl.DataFrame, config: ShopConfig, source: str, artefact: str, keys: UserKeys) -> pl.DataFrame:
    """Rows of one event file as `schema.RAW_EVENTS`, in the file's order.

    Unreadable timestamps become null and unreadable numbers NaN, for cleaning to quarantine. Events
    without an id get a hash of their content, so that an exact repeat has the same id. Personal data in
    `query` and `review` is masked.

    Args:
        frame: the rows as read.
        source: what `source` should say.
        artefact: the file, for errors.
        keys: under which shoppers are named, before any id is made from a row's content.

    Raises:
        ShopError: a missing or retyped column.
    """
    matched = match_columns(frame.columns, "events", config, artefact)
    columns = {}
    for ours, dtype in schema.RAW_EVENTS.items():
        theirs = frame[matched[ours]] if ours in matched else None
        if ours == "timestamp":
            columns[ours] = _timestamps(frame, matched, config, artefact)
        elif ours == "context":
            columns[ours] = matched_context(frame, matched, config)
        elif theirs is None or (ours == "position" and config.order_only):
            columns[ours] = pl.repeat(None, frame.height, dtype=dtype, eager=True)
        elif ours in IDS:
            columns[ours] = as_id(theirs, config)
        elif dtype == pl.String:
            columns[ours] = without_words(as_text(theirs), config)
        else:
            columns[ours] = as_number(theirs, artefact, config).cast(dtype, strict=False)
    events = pl.DataFrame(columns).with_columns(
        pl.col("event_type").replace(config.event_types).fill_null(pl.lit(config.event_type)),
        source=pl.lit(source))
    if "item_id" not in matched and not _only_searches(events):  # JSON Lines have no header that could have told
        raise _missing("item_id", "item_id", "events", frame.columns, artefact, config)
    if config.order_only:
        events = events.filter(pl.col("timestamp").is_not_null())
    events = keys.name_events(events)
    events = events.with_columns(event_id=pl.coalesce("event_id", _content_ids(events)))
    return events.with_columns(mask_personal_data("query"), mask_personal_data("review"))  # before anything is stored


def _only_searches(events: pl.DataFrame) -> bool:
    """Whether at least half of the events are searches: they alone may name no item."""
    return 2 * int((events["event_type"].str.strip_chars().str.to_lowercase() == schema.SEARCH).sum()) >= events.height


def matched_context(frame: pl.DataFrame, matched: dict[str, str], config: ShopConfig) -> pl.Series:
    """The declared context of every row as one text (see `context_texts`); columns the frame lacks say nothing."""
    given = {name: as_text(frame[matched[name]]) for name in config.context if name in matched}
    return context_texts(pl.DataFrame(given)) if given else pl.repeat(None, frame.height, dtype=pl.String, eager=True)


def context_texts(values: pl.DataFrame) -> pl.Series:
    """Rows as JSON object texts, canonical so that equal contexts are equal texts.

    Args:
        values: a String column per name. White space around a value and empty values do not count.

    Returns:
        String [rows] named "context": sorted keys, no null values, null where a row has no value at all.

    >>> context_texts(pl.DataFrame({"store": ["367 ", None], "channel": ["app", ""]})).to_list()
    ['{"channel": "app", "store": "367"}', None]
    """
    names = sorted(values.columns)
    values = values.select(pl.col(name).str.strip_chars().replace("", None) for name in names)
    unique = values.unique(maintain_order=True)  # rows repeat: a shop has far fewer places than events
    texts = [json.dumps({name: value for name, value in row.items() if value is not None}, ensure_ascii=False)
             for row in unique.iter_rows(named=True)]
    unique = unique.with_columns(context=pl.Series(texts, dtype=pl.String).replace("{}", None))
    return values.join(unique, on=names, how="left", nulls_equal=True, maintain_order="left")["context"]


def to_items(frame: pl.DataFrame, config: ShopConfig, artefact: str) -> pl.DataFrame:
    """Rows of an items file as `schema.RAW_ITEMS` plus every other column under its own name."""
    matched = match_columns(frame.columns, "items", config, artefact)
    columns = {}
    for ours, dtype in schema.RAW_ITEMS.items():
        if ours not in matched:
            columns[ours] = pl.repeat(None, frame.height, dtype=dtype, eager=True)
        elif dtype == pl.Float64:
            columns[ours] = as_number(frame[matched[ours]], artefact, config)
        elif ours == "category":
            columns[ours] = without_words(as_category(frame[matched[ours]], config.category_separator), config)
        elif ours == "item_id":
            columns[ours] = as_id(frame[matched[ours]], config)
        else:
            columns[ours] = without_words(as_text(frame[matched[ours]], " "), config)
    _check_rounded(columns["item_id"], columns["title"], artefact)
    return pl.DataFrame(columns | _other_columns(frame, matched, columns, artefact))


def _check_rounded(ids: pl.Series, titles: pl.Series, artefact: str) -> None:
    """Ids that a spreadsheet shows rounded, such as 1.23457E+12, stand for more than one item.

    Raises:
        ShopError: two items share such an id.
    """
    rounded = pl.DataFrame({"id": ids, "title": titles}).filter(pl.col("id").str.contains(ROUNDED))
    if rounded.is_empty():
        return
    shared = rounded.filter(pl.col("id").is_duplicated() & (pl.col("title").n_unique().over("id") > 1))
    if shared.height:
        first, second = shared.filter(pl.col("id") == shared["id"][0])["title"].unique(maintain_order=True)[:2]
        raise ShopError(artefact, f"{first!r} and {second!r} share the id {shared['id'][0]!r}, which a spreadsheet rounded",
                        "export the ids as text")
    log.warning("%s: %d ids are rounded by a spreadsheet, such as %r; export them as text", artefact, rounded.height,
                rounded["id"][0])


def to_users(frame: pl.DataFrame, config: ShopConfig, artefact: str) -> pl.DataFrame:
    """Rows of a users file: user_id and every other column under its own name, personal data in texts masked."""
    matched = match_columns(frame.columns, "users", config, artefact)
    columns = {"user_id": as_id(frame[matched["user_id"]], config).str.strip_chars().replace("", None)}  # as cleaning does
    users = pl.DataFrame(columns | _other_columns(frame, matched, columns, artefact))
    texts = [name for name, kind in users.schema.items() if kind == pl.String and name != "user_id"]
    return users.with_columns(mask_personal_data(name) for name in texts if not users[name].drop_nulls().str.contains(DATE).all())


def to_closed_table(frame: pl.DataFrame, table: str, config: ShopConfig, artefact: str) -> pl.DataFrame:
    """Rows of a judgments or labels file, exactly the contract's columns.

    Personal data in queries and messages is masked, but in no text with a marked span, which must be found again.
    """
    matched = match_columns(frame.columns, table, config, artefact)
    dtypes = {"judgments": schema.JUDGMENTS, "labels": schema.LABELS}[table]
    rows = pl.DataFrame({
        ours: pl.repeat(None, frame.height, dtype=dtype, eager=True) if ours not in matched
        else as_id(frame[matched[ours]], config).str.strip_chars() if ours == "item_id"
        else as_text(frame[matched[ours]]) if dtype == pl.String
        else as_number(frame[matched[ours]], artefact, config)
        for ours, dtype in dtypes.items()}).with_columns(mask_personal_data("query"))
    if table == "judgments":
        return rows
    said = pl.col("item_id").is_null() & pl.col("span").is_null()
    return rows.with_columns(pl.when(said).then(mask_personal_data("text")).otherwise("text").alias("text"))


def read_moments(values: pl.Series, config: ShopConfig, artefact: str) -> pl.Series:
    """A column of timestamps as UTC, null where one cannot be read.

    Raises:
        ShopError: not one of several is a timestamp, dates can be taken for others, or `timestamp_format` is no format.
    """
    given = values
    if values.dtype == pl.String:
        missing = is_null_word(values, config.null_words or NULL_WORDS)
        given = values.to_frame().select(pl.when(~missing).then(pl.first())).to_series() if missing.any() else values
    try:
        moments = parse_timestamps(given, config.time_zone, config.timestamp_format)
    except AmbiguousDates as error:
        raise ShopError(artefact, f"column {values.name!r}: {error}, as in {given.drop_nulls()[0]!r}",
                        'write it into shop.yaml, e.g. timestamp_format: "%d/%m/%Y %H:%M"') from None
    except ValueError as error:
        raise ShopError(artefact, f"timestamp_format {error}", "write strptime directives such as %Y-%m-%d %H:%M "
                        "into timestamp_format of shop.yaml") from None
    retyped_to = given.dtype in (pl.Null, pl.Time, pl.Duration, pl.Boolean) or given.dtype.is_nested()
    if (given.null_count() < len(given) - 1 or (retyped_to and len(given))) and moments.null_count() == len(given):
        raise retyped(given, "a timestamp", artefact, "write its form into shop.yaml, e.g. timestamp_format: "
                      '"%d.%m.%Y %H:%M"; or map another column, or deliver the column in its former type')
    return moments


def _timestamps(frame: pl.DataFrame, matched: dict[str, str], config: ShopConfig, artefact: str) -> pl.Series:
    if config.order_only:
        order = as_number(frame[matched["position"]], artefact, config) if "position" in matched else None
        return pseudo_timestamps(as_id(frame[matched["user_id"]], config), order)
    return read_moments(frame[matched["timestamp"]], config, artefact)


def _content_ids(events: pl.DataFrame) -> pl.Series:
    if events["event_id"].null_count() == 0:
        return events["event_id"]
    content = events.select(pl.concat_str(
        [pl.col(name).cast(pl.String).fill_null("") for name in schema.RAW_EVENTS if name not in ("event_id", "source")],
        separator="\x1f")).to_series()
    return pl.Series("event_id", [hashlib.md5(text.encode()).hexdigest()[:20] for text in content], pl.String)


def _other_columns(frame: pl.DataFrame, matched: dict[str, str], columns: dict[str, pl.Series],
                   artefact: str) -> dict[str, pl.Series]:
    """Columns outside the contract, typed where their text is plainly numbers.

    Raises:
        ShopError: a name that SQL, which ignores case, or cleaning's `text` would make ambiguous.
    """
    extra = {name: frame[theirs] for name, theirs in matched.items() if name not in columns}
    extra |= {name: frame[name] for name in frame.columns
              if name not in columns and name not in matched.values()}
    taken = {name.lower(): name for name in columns} | {"text": "text"}
    for name in extra:
        if (clash := taken.setdefault(name.lower(), name)) != name or name == "text":
            raise ShopError(artefact, f"column {name!r} can be taken for {clash!r}, a name of its own",
                            f"rename it, or map it in shop.yaml to what it means (`{clash}: {name}`?)")
    return {name: _plain(values) for name, values in extra.items()}


def _plain(values: pl.Series) -> pl.Series:
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Date):
        return values
    text = as_text(values, " ")
    if text.null_count() == len(text):
        return text
    if text.str.contains(INTEGER).all() and (text.str.len_chars() < 16).all():
        return text.cast(pl.Int64)
    return text.cast(pl.Float64) if text.str.contains(DECIMAL).all() else text


def _missing(theirs: str, ours: str, table: str, found: list[str], artefact: str, config: ShopConfig) -> ShopError:
    what = f"column {theirs!r}" if theirs == ours else f"column {theirs!r} (mapped to {ours!r})"
    fix = f"name the column, or map it in shop.yaml: columns: {{{table}: {{{ours}: <your column>}}}}"
    if ours == "event_type":
        fix += ", or give all events one type: event_type: purchase"
    elif ours == "timestamp":
        fix += ", or set order_only: true if the events only have an order"
    elif ours in config.context:
        fix += f", or take {ours!r} out of `context`"
    return ShopError(
        artefact, f"{what} is missing{nearest(theirs, found)}; columns found: {', '.join(found)}", fix)
