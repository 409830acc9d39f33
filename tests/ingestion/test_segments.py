"""Segments and families are bound to the shop's columns before any event is read."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import FamilySpec, SegmentSpec
from recsys_core.ingestion.segments import validate_families, validate_segments

EVENTS = {name: dtype for name, dtype in schema.CLEAN_EVENTS.items() if name != "context"}
TABLES = {"events": EVENTS, "users": {"user_id": pl.String(), "age": pl.Int64()},
          "items": schema.CLEAN_ITEMS | {"size": pl.Float64()}, "context": {"store": pl.String()}}


def validate(where: str, tables=TABLES, name: str = "bad"):
    return validate_segments([SegmentSpec(name=name, kind="custom", where=where)], tables, "shop.yaml")


@pytest.mark.parametrize("where", [
    "true", "items.category LIKE 'Toys%' AND users.age > 30", "items.price * items.size > 2 -- a comment",
    "events.day >= DATE '2024-01-01'", "events.timestamp < '2024-01-01'", "context.store = '367' OR users.age IS NULL",
    "CASE WHEN items.size > 1 THEN true ELSE items.brand ~ '^A' END AND context.store IN ('1', '2')",
])
def test_good_conditions_pass(where):
    assert validate(where) is None


def test_a_condition_that_passed_is_tried_anew_where_the_columns_changed():
    assert validate("users.age > 30") is None
    without = TABLES | {"users": {"user_id": pl.String()}}
    for _ in range(2):  # a refusal is not forgotten either
        with pytest.raises(ShopError, match=r"users\.age"):
            validate("users.age > 30", without)
    assert validate("users.age > 30") is None


@pytest.mark.parametrize(("where", "words"), [
    ("items.departmnt = 'x'", ["departmnt", "items.size", "users.age", "context.store"]),
    ("users.age >", ["does not parse"]),
    ("true); DROP TABLE events; SELECT (1", ["does not parse"]),
    ("users.age = 'old'", ["does not parse"]),
    ("context.shop = '1'", ["does not parse", "context.store"]),
])
def test_bad_conditions_list_the_columns(where, words):
    with pytest.raises(ShopError) as error:
        validate(where)
    assert "'bad'" in error.value.culprit and "events.user_id" in error.value.fix
    assert "events.price" not in error.value.fix  # nobody should be sent there
    for word in words:
        assert word in str(error.value)


def test_what_no_request_knows_keeps_the_shop_from_opening():
    with pytest.raises(ShopError, match=r"segment 'bad': events\.price .* no request can know it.*make it a shelf"):
        validate("users.age > 30 AND events.price > 1")


def test_a_shop_without_context_has_no_such_alias():
    with pytest.raises(ShopError, match="does not parse"):
        validate("context.store = '1'", TABLES | {"context": {}})


@pytest.mark.parametrize(("by", "words"), [
    ("context.stor", ["context.stor does not exist", "did you mean 'store'", "context: [stor]"]),
    ("users.country", ["users.country does not exist", "users.age"]),
    ("users.user_id", ["users.user_id does not exist"]),
])
def test_a_family_needs_its_column(by, words):
    validate_families([FamilySpec(name="a", by="context.store"), FamilySpec(name="b", by="users.age")], TABLES, "shop.yaml")
    with pytest.raises(ShopError) as error:
        validate_families([FamilySpec(name="bad", by=by)], TABLES, "shop.yaml")
    assert error.value.culprit.startswith("family 'bad'")
    for word in words:
        assert word in str(error.value)
