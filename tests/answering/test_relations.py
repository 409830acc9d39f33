"""What two items are to each other, on a planted shelf whose answers are known."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from recsys_core.answering.relations import Relations
from recsys_core.base_model.sparse import Sparse
from recsys_core.interactions.arrays import Catalogue
from tests.tasks.planted import PlantedEncoder

# item → title, brand, category, colour, size
SHELF = {
    "cola": ("Cherry cola 12pk 12 oz", "Fizz", "Drinks > Soda", None, None),
    "cola again": ("Cherry Cola, 12 Pack 12oz", "FIZZ", "Drinks > Soda", None, None),
    "cola in pounds": ("Cherry cola 12pk 0.75 lb", None, "Drinks > Soda", None, None),
    "cola of six": ("Cherry cola 6pk 12 oz", "Fizz", "Drinks > Soda", None, None),
    "cola of others": ("Cherry cola 12pk 12 oz", "Bubble", "Drinks > Soda", None, None),
    "lemonade": ("Sparkling lemonade 1 l", "Bubble", "Drinks > Soda", None, None),
    "crisps": ("Salted potato crisps 200 g", "Crunch", "Snacks > Crisps", None, None),
    "shirt m": ("T-Shirt M", "Alder", "Wear > Shirts", "red", None),
    "shirt l": ("T shirt L", "Alder", "Wear > Shirts", "red", "L"),
    "shirt blue": ("Blue T-shirt", "Alder", "Wear > Shirts", "Blue", None),
    "drill": ("Cordless drill WX300 18 V", "Volt", "Tools > Drills", None, None),
    "drill 2": ("Cordless drill WX400 18 V", "Volt", "Tools > Drills", None, None),
    "oat": ("Organic rolled oats breakfast vanilla", "Mill", "Food > Oats", None, None),
    "oat nuts": ("Organic rolled oats breakfast nuts", "Mill", "Food > Oats", None, None),
    "rake": ("Garden rake", "Volt", "Garden > Rakes", None, None),
}
TOGETHER = [("cola", "crisps"), ("cola", "lemonade"), ("drill", "rake")]
NAMES = list(SHELF)


@pytest.fixture(scope="module")
def shelf():
    """A function from an item to what all others are to it."""
    columns = dict(zip(("title", "brand", "category", "colour", "size"), zip(*SHELF.values(), strict=True), strict=True))
    items = pl.DataFrame({"item_id": NAMES, **columns, "description": None, "price": 1.0, "text": columns["title"]},
                         schema_overrides={"description": pl.String, "size": pl.String})
    texts = list(dict.fromkeys(columns["title"]))
    catalogue = Catalogue(items, np.array([texts.index(text) for text in columns["title"]], np.int32),
                          PlantedEncoder().encode(texts))
    taken = np.zeros((len(NAMES), len(NAMES)), np.float32)
    for one, other in TOGETHER:
        taken[NAMES.index(one), NAMES.index(other)] = taken[NAMES.index(other), NAMES.index(one)] = 0.5
    ranker = SimpleNamespace(counts=SimpleNamespace(companions=Sparse.of(sp.csr_array(taken))),
                             config=SimpleNamespace(companion_epsilon=0.05))

    def found(name: str) -> dict:
        return dict(zip(NAMES, Relations(items, catalogue, ranker, NAMES.index(name)).of(range(len(NAMES))), strict=True))

    return found


@pytest.mark.parametrize(("one", "other", "relation"), [
    ("cola", "cola again", "duplicate"), ("cola", "cola in pounds", "duplicate"), ("cola", "cola of six", "variant"),
    ("cola", "crisps", "complement"), ("lemonade", "cola of six", "substitute"), ("cola", "rake", None),
    ("shirt m", "shirt l", "variant"), ("shirt m", "shirt blue", "variant"), ("drill", "drill 2", "variant"),
    ("oat", "oat nuts", "variant"), ("drill", "rake", "complement"), ("rake", "crisps", None)])
def test_relations_as_planted_in_both_directions(shelf, one, other, relation):
    assert shelf(one)[other] == shelf(other)[one] == relation


def test_the_same_words_of_another_brand_are_a_substitute(shelf):
    assert shelf("cola")["cola of others"] == "substitute"


def test_an_item_is_its_own_duplicate(shelf):
    assert all(shelf(name)[name] == "duplicate" for name in NAMES)
