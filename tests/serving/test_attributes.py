"""Columns that a task read off the items' texts: filters, facets and rules know them, everything else goes by the shop's own."""

import polars as pl
import pytest

from recsys_core.answering import Rules
from recsys_core.deployment.bundle import write_bundle
from recsys_core.errors import RequestError
from recsys_core.interactions.arrays import Catalogue
from recsys_core.retrieval.item_attributes import ItemAttributes
from recsys_core.schema import ITEM_ATTRIBUTES
from recsys_core.serving import Bundle
from tests.serving.tiny import TITLES, tiny_arguments, tiny_attributes, use_word_encoder

MADE_OF_GLASS = {item for item, title in TITLES.items() if title.startswith("Glass")}


def ids(answers) -> set[str]:
    return {answer.item_id for answer in answers}


def test_a_filter_by_an_extracted_column(bundle):
    assert len(MADE_OF_GLASS) > 1
    assert ids(bundle.recommend(["k0"], k=20, filters={"material": "Glass"})) == MADE_OF_GLASS
    assert ids(bundle.search("mug", k=20, filters={"material": ["Glass"]})) == MADE_OF_GLASS
    assert not ids(bundle.search("mug", k=20, filters={"material": "Adamant"}))


def test_a_facet_of_an_extracted_column_is_a_filter(bundle):
    facet, *_ = bundle.facets("glass", ["material"])["material"]
    assert facet == {"value": "Glass", "count": len(MADE_OF_GLASS)}


def test_rules_know_it_too(bundle):
    rules = bundle.bind_rules(Rules(must_not=[{"name": "fragile", "filters": {"material": "Glass"}}]))
    assert not ids(bundle.recommend([], k=20, rules=rules)) & MADE_OF_GLASS


def test_who_says_what(bundle):
    found = bundle.attributes("k0")
    assert found == {"material": {"value": "Steel", "source": "attributes",
                                  "task_hash": bundle.manifest["attributes"]["material"]["tasks"]["attributes"]}}
    assert bundle.attributes("gone") == {} and bundle.attributes(" k0 ") == found
    with pytest.raises(RequestError):
        bundle.attributes(["k0"])


@pytest.fixture
def given(tmp_path, monkeypatch):
    """The tiny bundle of a shop that gives two materials itself, one against the text."""
    use_word_encoder(monkeypatch)
    arguments = tiny_arguments(tmp_path / "sources")
    old = arguments["catalogue"]
    own = {"k0": "Brass", "g0": "Clay"}
    items = old.items.with_columns(Material=pl.col("item_id").replace_strict(own, default=None, return_dtype=pl.String))
    arguments |= {"catalogue": Catalogue(items, old.text_of_item, old.vectors),
                  "attributes": tiny_attributes(tmp_path / "sources", items), "golden": []}
    write_bundle(tmp_path / "bundle", **arguments)
    return Bundle.load(tmp_path / "bundle")


def test_the_shop_s_own_value_stands_and_only_gaps_are_filled(given):
    assert given.attributes("k0")["Material"] == {"value": "Brass", "source": "shop", "task_hash": None}
    assert given.attributes("k1")["Material"]["source"] == "attributes"
    assert ids(given.recommend([], k=20, filters={"Material": "Brass"})) == {"k0"}
    assert "k0" not in ids(given.recommend([], k=20, filters={"Material": "Steel"}))
    assert given.manifest["attributes"]["Material"]["given"] == 2


def test_the_items_table_itself_stays_as_the_shop_gave_it(given):
    assert given.catalogue.items["Material"].drop_nulls().to_list() == ["Clay", "Brass"]
    assert "Material: Glass" not in given.describe("k1")["text"]


def test_new_and_reworded_items_have_no_extracted_value_until_they_are_read(bundle):
    more = bundle.with_items([{"item_id": "k9", "title": "Glass sieve"}, {"item_id": "k0", "title": "Oak mug"}])
    assert more.attributes("k9") == more.attributes("k0") == {} and more.attributes("k1") == bundle.attributes("k1")
    assert ids(more.recommend([], k=30, filters={"material": "Glass"})) == MADE_OF_GLASS
    repriced = bundle.with_items([{"item_id": "k0", "title": TITLES["k0"], "brand": "Alder", "category": "Kitchen > mug"}])
    same = repriced.catalogue.items["text"][repriced.catalogue.row_of["k0"]] == TITLES["k0"]
    assert (repriced.attributes("k0") == bundle.attributes("k0")) == same


def test_rows_of_unknown_items_are_left_out():
    rows = [("a", "size", "1 oz", "t", "h"), ("gone", "size", "2 oz", "t", "h")]
    table = pl.DataFrame(rows, schema=ITEM_ATTRIBUTES, orient="row")
    found = ItemAttributes.of(table, {"a": 0, "b": 1})
    assert found.values == {"size": ["1 oz", None]} and found.hashes == {"t": "h"}
    assert found.grown([0], 3).values == {"size": [None, None, None]} and found.values["size"][0] == "1 oz"
