"""Values out of contexts, and the segments of families."""

import polars as pl
import pytest

from recsys_core.errors import DataError
from recsys_core.features import context
from recsys_core.features.context import context_values, family_values
from recsys_core.ingestion.config import FamilySpec
from recsys_core.ingestion.contract import context_texts
from recsys_core.schema import INTERACTIONS

STORES = ["7", None, "8", "7", None]
PAGES = ['a "b"', "ü", None, 'a "b"', None]
USERS = pl.DataFrame({"user_id": ["u", "v", "w"], "age": [30, None, 30], "region": ["north", " ", "south"]})


def interactions(users: str = "uvwxu") -> pl.DataFrame:
    rows = [dict.fromkeys(INTERACTIONS) | {"user_id": user} for user in users]
    texts = context_texts(pl.DataFrame({"store": STORES, "page": PAGES}))
    return pl.DataFrame(rows, schema=INTERACTIONS).with_columns(context=texts)


def test_what_was_written_is_read_back():
    column = interactions()["context"]
    assert column.null_count() == 1
    assert context_values(column, "store").to_list() == STORES and context_values(column, "page").to_list() == PAGES
    assert context_values(column, "other").to_list() == [None] * 5
    assert context_values(column.clear(), "store").dtype == pl.String == context_values(column.head(0), "page").dtype
    assert context_values(pl.Series([None, None], dtype=pl.String), "store").to_list() == [None, None]


def test_every_text_is_parsed_once(monkeypatch):
    parsed = []
    loads = context.json.loads
    monkeypatch.setattr(context.json, "loads", lambda text: parsed.append(text) or loads(text))
    context_values(pl.concat([interactions()["context"]] * 100), "store")
    assert len(parsed) == 3


@pytest.mark.parametrize(("by", "values"), [
    ("context.store", STORES), ("users.age", ["30", None, "30", None, "30"]),
    ("users.region", ["north", None, "south", None, "north"]),
])
def test_segments_of_a_family(by, values):
    found = family_values(FamilySpec(name="fam", by=by), interactions(), USERS)
    assert (found.name, found.dtype, found.to_list()) == ("fam", pl.String, values)


def test_a_family_cannot_do_without_its_column():
    for users in (None, USERS.drop("age")):
        with pytest.raises(DataError, match=r"family 'fam': raw_users has no column 'age'"):
            family_values(FamilySpec(name="fam", by="users.age"), interactions(), users)


def test_a_family_has_so_many_values_at_most(monkeypatch):
    family = FamilySpec(name="fam", by="context.store")
    monkeypatch.setattr(context, "MOST_VALUES", 2)
    assert family_values(family, interactions(), None).n_unique() == 3  # null is no segment
    monkeypatch.setattr(context, "MOST_VALUES", 1)
    with pytest.raises(DataError, match=r"context\.store has 2 values, more than 1"):
        family_values(family, interactions(), None)
