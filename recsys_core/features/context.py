"""Values out of the `context` column: one name's per row, and the one that tells a family's segments apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from recsys_core.errors import DataError

if TYPE_CHECKING:
    from recsys_core.ingestion import FamilySpec

MOST_VALUES = 10_000  # segments of one family: each has an adapter and a judgment of its own


def context_values(column: pl.Series, name: str) -> pl.Series:
    """The value of one declared name per row.

    Args:
        column: String [rows], JSON object texts as in `schema.INTERACTIONS`.
        name: a name of the shop's `context`.

    Returns:
        String [rows] named `name`, null where the row's context lacks it.

    >>> context_values(pl.Series(['{"channel": "app", "store": "367"}', None, '{"channel": "app"}']), "store").to_list()
    ['367', None, None]
    """
    unique = column.drop_nulls().unique()  # only these are parsed: far fewer than rows
    values = pl.Series([json.loads(text).get(name) for text in unique], dtype=pl.String)
    return column.replace_strict(unique, values, default=None, return_dtype=pl.String).alias(name)


def family_values(family: FamilySpec, interactions: pl.DataFrame, users: pl.DataFrame | None) -> pl.Series:
    """The segment of a family that each interaction belongs to.

    Args:
        family: `by` names context.<name> or users.<column>.
        interactions: `schema.INTERACTIONS`.
        users: unique user_id and the shop's columns, None where it has none.

    Returns:
        String [interactions] named after the family, null where the row belongs to none of its segments.

    Raises:
        DataError: the users column is missing, or there are more than `MOST_VALUES` values.
    """
    table, column = family.by.split(".", 1)
    if table == "context":
        values = context_values(interactions["context"], column)
    else:
        values = _user_values(family, column, interactions, users)
    if (count := values.drop_nulls().n_unique()) > MOST_VALUES:
        raise DataError(f"family {family.name!r}", f"{family.by} has {count} values, more than {MOST_VALUES}",
                        "name a coarser column in `by`: each value is a segment of its own")
    return values.alias(family.name)


def _user_values(family: FamilySpec, column: str, interactions: pl.DataFrame, users: pl.DataFrame | None) -> pl.Series:
    if users is None or column not in users.columns:
        raise DataError(f"family {family.name!r}", f"raw_users has no column {column!r}",
                        "materialize raw_users again, or correct `by` in shop.yaml")
    text = users[column].cast(pl.String).str.strip_chars().replace("", None)
    known = pl.DataFrame({"user_id": users["user_id"], "value": text}).unique("user_id", keep="first")
    return interactions.select("user_id").join(known, on="user_id", how="left", maintain_order="left")["value"]
