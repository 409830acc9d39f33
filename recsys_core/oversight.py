"""What a shop says of the bundle that may serve it: who must be treated alike, who decides, and how many hide each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel, Field

from recsys_core.errors import ShopError


class FairnessSpec(BaseModel, frozen=True, extra="forbid"):
    """For which groups the shop wants to know whether they are treated alike, and how far apart is too far."""

    users: tuple[str, ...] = Field((), description="columns of the users table whose values are groups of shoppers")
    items: tuple[str, ...] = Field((), description="columns of the items table whose values are groups of items")
    quality_gap: float | None = Field(None, gt=0, le=1, description="largest share of NDCG@10 that a group of shoppers may lack "
                                      "beside all others; more, once proven, holds the bundle for a person")
    exposure_gap: float | None = Field(None, gt=0, le=1, description="largest share of its demand that a declared group of items "
                                       "may lack in exposure; more, once proven, holds the bundle for a person")


class ReleaseSpec(BaseModel, frozen=True, extra="forbid"):
    """How a bundle that passed its gates becomes champion."""

    approval: bool = Field(False, description="a person must approve it (`recsys review`)")
    keep: int = Field(3, ge=1, le=100, description="earlier champions that `recsys rollback` can reach")


class PrivacySpec(BaseModel, frozen=True, extra="forbid"):
    """How many shoppers must stand behind what is learned of a few."""

    adapter_users: int = Field(5, ge=1, description="distinct shoppers who must have given the shots of a segment, or of a "
                               "family's member, that gets an adapter")


def check_groups(fairness: FairnessSpec, tables: Mapping[str, Collection[str]], artefact: str) -> None:
    """See that the columns whose values are groups are there.

    Args:
        fairness: what the shop declares.
        tables: the columns of "users" and "items"; a table may be absent.
        artefact: the file an error should name.

    Raises:
        ShopError: a column that its table lacks.
    """
    for table, columns, key in (("users", fairness.users, "user_id"), ("items", fairness.items, "item_id")):
        known = [name for name in tables.get(table, ()) if name != key]
        for column in columns:
            if column not in known:
                raise ShopError(artefact, f"fairness → {table}: there is no column {column!r}",
                                f"use {', '.join(known)}" if known else f"add the column to the {table} table")
