"""Grades of pairs: planted ones are learned, stay in [0, 1], and without labels words and meaning are calibrated."""

import numpy as np
import pytest

from recsys_core.errors import AdapterError
from recsys_core.tasks.labels import Product
from recsys_core.tasks.match import fit_match
from recsys_core.tasks.unlabelled import calibrate_match
from tests.tasks.planted import NOUNS, PlantedEncoder, match_rows, said

ENCODER = PlantedEncoder()
ROWS = match_rows()
QUERIES, PRODUCTS = [row["query"] for row in ROWS], [Product(row["text"]) for row in ROWS]
GRADES = [float(row["label"]) for row in ROWS]


def grade(adapter, query: str, *products: Product) -> list[float]:
    return adapter.grades(ENCODER, [query] * len(products), products).tolist()


def test_grades_of_pairs_never_seen_are_near_what_was_planted():
    adapter = fit_match(ENCODER, QUERIES[:160], PRODUCTS[:160], GRADES[:160], task="m")
    found = adapter.grades(ENCODER, QUERIES[160:], PRODUCTS[160:])
    assert ((found >= 0) & (found <= 1)).all()
    assert np.abs(found - np.array(GRADES[160:]) / 2).mean() < 0.1


def test_any_scale_of_grades_is_brought_to_0_and_1():
    one = fit_match(ENCODER, QUERIES, PRODUCTS, GRADES, task="m")
    other = fit_match(ENCODER, QUERIES, PRODUCTS, [10 * grade - 7 for grade in GRADES], task="m")
    assert np.allclose(one.grades(ENCODER, QUERIES, PRODUCTS), other.grades(ENCODER, QUERIES, PRODUCTS))
    assert one.scaled([0, 1, 2]).tolist() == other.scaled([-7, 3, 13]).tolist() == [0, 0.5, 1]


def test_fields_count_where_an_item_has_them():
    brands = ["Alder", "Birch"]
    products = [Product(f"mug {at}. {brand}", f"mug {at}", brand) for at in range(20) for brand in brands]
    queries = [f"{brands[at % 2]} mug" for at in range(20) for _ in brands]
    grades = [float(brands[at % 2] == brand) for at in range(20) for brand in brands]
    adapter = fit_match(ENCODER, queries, products, grades, task="m")
    right, wrong = grade(adapter, "Alder mug", *(Product(f"mug 99. {brand}", "mug 99", brand) for brand in brands))
    assert right > 0.8 > 0.2 > wrong


@pytest.mark.parametrize("grades", [[1.0] * len(GRADES), list(np.linspace(0, 1, len(GRADES)))])
def test_one_grade_or_measurements_are_refused(grades):
    with pytest.raises(AdapterError, match="distinct grades"):
        fit_match(ENCODER, QUERIES, PRODUCTS, grades, task="m")


def test_without_labels_an_item_asked_for_by_its_name_is_likelier_than_another():
    titles = [f"{said(noun, n)} {noun} {n}oz" for noun in NOUNS for n in range(8)]
    products = [Product(f"{title}. Alder", title) for title in titles]
    vectors = ENCODER.encode([one.text for one in products])
    mix = calibrate_match(ENCODER, products, vectors, np.random.default_rng(0))
    asked = products[3].title
    found = mix.grades(ENCODER, [asked] * len(products), products, vectors)
    assert found.argmax() == 3 and found[3] > 0.9 and np.median(found) < 0.1
    assert mix == calibrate_match(ENCODER, products, vectors, np.random.default_rng(0))


def test_a_catalogue_of_one_item_is_no_fault():
    only = [Product("mug")]
    mix = calibrate_match(ENCODER, only, ENCODER.encode(["mug"]), np.random.default_rng(0))
    assert np.isfinite(mix.grades(ENCODER, ["mug"], only, ENCODER.encode(["mug"]))).all()
