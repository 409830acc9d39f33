"""Which items a segment's requests may be answered with."""

import polars as pl
import pytest

from recsys_core.errors import ShopError
from recsys_core.features.segments import candidate_items
from recsys_core.ingestion.config import SegmentSpec

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c"], "shelf": ["toys", "food", None], "price": [1.0, 2.0, 3.0]})


def found(where: str, kind: str = "custom", **fields) -> dict:
    segment = SegmentSpec(name="seg", kind=kind, where=where, **fields)
    return {name: mask.tolist() for name, mask in candidate_items(ITEMS, [segment]).items()}


@pytest.mark.parametrize(("where", "items"), [
    ("items.shelf = 'toys'", [True, False, False]),
    ("users.age > 3 AND items.shelf = 'food'", [False, True, False]),
    ("items.price > 1 AND context.store = '1' AND items.shelf IS NULL", [False, False, True]),
    ("items.price > 9", [False, False, False]),
])
def test_items_of_any_kind_of_segment(where, items):
    assert found(where) == {"seg": items} == found(where, "new_users")
    assert found(where, "scene", start="2024-01-01", end="2024-01-02") == {"seg": items}


def test_without_a_word_on_items_there_is_no_entry():
    assert found("users.age > 3 OR events.day > '2024-01-01'") == {} == found("true", "new_users")


@pytest.mark.parametrize("where", ["items.colour = 'red'", "items.price = 'dear'", "items.price > 1 OR users.age > 1"])
def test_failures_name_the_segment(where):
    with pytest.raises(ShopError, match="segment 'seg'"):
        found(where)
