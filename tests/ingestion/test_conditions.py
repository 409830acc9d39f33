"""A condition falls into what a request knows and what it may be answered with; anything else is refused."""

from __future__ import annotations

import pytest

from recsys_core.errors import ShopError
from recsys_core.ingestion.conditions import Condition, split_condition


@pytest.mark.parametrize(("where", "asked", "candidates"), [
    ("true", "true", "true"),
    ("items.brand = 'a' AND (users.age > 3 AND context.store = '367') -- why",
     "(users.age > 3) AND (context.store = '367')", "(items.brand = 'a')"),
    ("items.a = 1 OR items.b = 2", "true", "((items.a = 1) OR (items.b = 2))"),
    ("users.a = 1 OR context.b = '2'", "((users.a = 1) OR (context.b = '2'))", "true"),
    ("NOT (users.a = 1 OR users.b = 2) AND Items.\"x y\" IS NULL",
     "(NOT ((users.a = 1) OR (users.b = 2)))", '(Items."x y" IS NULL)'),
    ("items.title = 'a WHERE b AND c'", "true", "(items.title = 'a WHERE b AND c')"),
    ("events.user_id <> 'x' AND events.day > '2024-01-01'", "(events.user_id != 'x') AND (events.\"day\" > '2024-01-01')",
     "true"),
    ("1 = 1 AND items.a", "(1 = 1)", "(items.a)"),
])
def test_parts(where, asked, candidates):
    assert split_condition(where) == Condition(asked, candidates)


LATER = ["price", "quantity", "rating", "event_type", "query", "session_id", "position", "context"]


@pytest.mark.parametrize("column", LATER)
def test_what_an_event_says_later_is_refused(column):
    with pytest.raises(ShopError) as error:
        split_condition(f"users.age > 3 AND (users.age < 9 OR events.{column} IS NULL)", "bargains", "my/shop.yaml")
    text = str(error.value)
    assert text.startswith(f"my/shop.yaml: segment 'bargains': events.{column} in ((users.age < 9) OR ")
    assert "only once the event has happened" in text and "declare the column in `context`" in error.value.fix
    assert "make it a shelf (table shelves: shelf, item_id, first_day, last_day)" in error.value.fix


@pytest.mark.parametrize(("where", "words"), [
    ("items.brand = 'a' OR users.age > 3", ["mixes items.* with users.*", "split it with AND"]),
    ("items.brand = context.store", ["mixes items.* with context.*"]),
    ("items.price > 1 OR events.day > '2024-01-01'", ["mixes items.* with events.*"]),
    ("events.item_id = '7'", ["events.item_id", "write items.item_id"]),
    ("shelf = 'toys'", ["shelf in (shelf = 'toys') does not say its table", "items.shelf", "users.shelf"]),
    ("baskets.size > 3", ["baskets.size", "does not say its table"]),
    ("users.user_id IN (SELECT user_id FROM events)", ["a subquery", "other rows"]),
    ("row_number() OVER () < 3", ["a window function"]),
    ("COLUMNS('user_id') = 'u'", ["a star"]),
    ("users.age >", ["does not parse"]),
    ("true); DROP TABLE events; SELECT (1", ["does not parse"]),
])
def test_other_refusals(where, words):
    with pytest.raises(ShopError) as error:
        split_condition(where, "s")
    assert error.value.culprit.startswith("segment 's': ")
    for word in words:
        assert word in str(error.value)
