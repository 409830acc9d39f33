"""Ids of events beside those of the tables that they point to: written alike where that is certain, else told apart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.contract import match_columns, to_items, to_users
from recsys_core.ingestion.values import as_id
from recsys_core.reading import Declared, meet, read_head

log = logging.getLogger(__name__)

WHOLE_ID = r"^(0|[1-9]\d*)$"
FLOAT_ID = r"^\s*(-?\d+)\.0\s*$"
COPIES = 0.5  # of a column's rows that hold their shopper's id
STRANGERS = 0.5  # a larger share of unknown shoppers is told
Fit = Callable[[pl.DataFrame, dict[str, str]], pl.DataFrame]


def whole_ids(files: Mapping[str, list[Path]], config: ShopConfig, declared: Declared) -> frozenset[str]:
    """Which of item_id and user_id are plain integers in the file of the table that they belong to."""
    found = []
    for table, key, convert in (("items", "item_id", to_items), ("users", "user_id", to_users)):
        if files[table]:
            path = files[table][0]
            ids = convert(read_head(path, declared), config, str(path))[key].drop_nulls()
            if len(ids) and ids.str.strip_chars().str.contains(WHOLE_ID).all():
                found.append(key)
    return frozenset(found)


def with_whole_ids(frame: pl.DataFrame, matched: dict[str, str], whole: Callable[[], frozenset[str]]) -> pl.DataFrame:
    """Event rows as text whose `17.0` is `17` where the table that it points to has integers.

    Args:
        frame: rows as read.
        matched: our column → theirs.
        whole: gives the keys that are integers, asked only if needed.
    """
    for key in ("item_id", "user_id"):
        theirs = matched.get(key, "")
        if theirs and frame.schema[theirs] == pl.String and frame[theirs].str.contains(FLOAT_ID).any() and key in whole():
            log.info("column %r of the events is read as whole numbers, as in the table it points to", theirs)
            frame = frame.with_columns(pl.col(theirs).str.replace(FLOAT_ID, "$1"))
    return frame


def shoppers_of(path: Path, config: ShopConfig, declared: Declared, fit: Fit) -> pl.Series:
    """The shoppers in the first rows of an events file."""
    frame = read_head(path, declared)
    if not frame.width:
        return pl.Series([], dtype=pl.String)
    matched = match_columns(frame.columns, "events", config, str(path))
    return as_id(fit(frame, matched)[matched["user_id"]], config).str.strip_chars()


def check_users_meet(shoppers: pl.Series, known: pl.Series, events: str, artefact: str, quiet: bool) -> None:
    """See that the shoppers of an events file are in the users table; a shop may know only some of them.

    Args:
        shoppers: ids of the file's first rows, as delivered.
        known: those of the users table, as delivered.
        events: the file's name.
        artefact: the users table.
        quiet: tell no id.

    Raises:
        ShopError: most of them would be, were their ids written as there.
    """
    found = meet(shoppers, known)
    told = (found.cause or "the ids have nothing in common") if quiet else str(found)
    if found.share > STRANGERS and found.cause:
        raise ShopError(artefact, f"{found.share:.0%} of the shoppers in {events} are not in it, {told}",
                        "write the ids of both files alike, as text")
    if found.share > STRANGERS:
        log.warning("%s: %.0f%% of the shoppers in %s are not in it, %s", artefact, 100 * found.share, events, told)


def refuse_copies(users: pl.DataFrame, artefact: str) -> None:
    """See that no other column of a users table repeats the ids, which would be stored beside their pseudonyms.

    Raises:
        ShopError: a column that holds the id in most of its rows.
    """
    ids = users["user_id"]
    for name in users.columns:
        if name != "user_id" and (users[name].cast(pl.String) == ids).sum() > COPIES * max(users.height, 1):
            raise ShopError(artefact, f"column {name!r} repeats the shopper's id", "leave the column out: the id is stored as a "
                            "pseudonym where RECSYS_USER_KEY is set")
