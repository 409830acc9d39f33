"""Segment predicates are bound to the shop's columns before any event is read."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import SegmentSpec
from recsys_core.ingestion.segments import validate_segments

TABLES = {"events": schema.CLEAN_EVENTS, "users": {"user_id": pl.String(), "age": pl.Int64()},
          "items": schema.CLEAN_ITEMS | {"size": pl.Float64()}}


@pytest.mark.parametrize("where", [
    "true", "items.category LIKE 'Toys%' AND users.age > 30", "events.price * items.size > 2 -- a comment",
    "events.day >= DATE '2024-01-01'", "events.timestamp < '2024-01-01'",
])
def test_good_predicates_pass(where):
    assert validate_segments([SegmentSpec(name="a", kind="custom", where=where)], TABLES, "shop.yaml") is None


@pytest.mark.parametrize(("where", "words"), [
    ("items.departmnt = 'x'", ["departmnt", "items.size", "users.age"]),
    ("users.age >", ["does not parse"]),
    ("true); DROP TABLE events; SELECT (1", ["does not parse"]),
    ("users.age = 'old'", ["does not parse"]),
])
def test_bad_predicates_list_the_columns(where, words):
    with pytest.raises(ShopError) as error:
        validate_segments([SegmentSpec(name="bad", kind="custom", where=where)], TABLES, "shop.yaml")
    assert "'bad'" in error.value.culprit and "events.user_id" in error.value.fix
    for word in words:
        assert word in str(error.value)
