"""A page's first shots: counts first, then similar texts, then the base."""

import time
from dataclasses import replace

import numpy as np
import polars as pl

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.page import PAGE_STRENGTHS, PageStrength, page_adapter, page_values, strength_at
from recsys_core.interactions.arrays import Catalogue
from tests.adaptation.planted import LOCK, make_catalogue

SHOP = make_catalogue()
PAGE = np.flatnonzero((SHOP.items["category"] == "dairy").to_numpy())
TEXTS = SHOP.items["text"].to_list()
TEA = [row for row in PAGE.tolist() if TEXTS[row] == "big red tea"]


def offsets(items: list[int], **options) -> np.ndarray:
    return page_adapter(SHOP, LOCK, PAGE, np.array(items, np.int64), **options).offsets(SHOP)


def test_values_are_the_formula():
    strength = PageStrength(4, 0.25, 0.5)
    shots = np.array([TEA[0], TEA[0], PAGE[-1], 0])
    found = page_values(SHOP, PAGE, shots, strength)
    cosines = np.maximum(SHOP.item_vectors[PAGE] @ SHOP.item_vectors[shots].T, 0)
    counts = (PAGE[:, None] == shots[None, :3]).sum(axis=1)
    expected = (np.log(counts + .25 * (cosines**4).sum(axis=1) + .001) - np.log(.001)) / .5
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_shot_lifts_its_item_most_then_its_twin_then_what_reads_alike():
    found = offsets([TEA[0], TEA[0]])
    assert found.argmax() == TEA[0]
    assert np.argsort(-found)[1] == TEA[1]
    other = PAGE[[TEXTS[row] in ("small red tea", "big blue tea") for row in PAGE]]
    assert found[other].min() > np.median(found[PAGE])


def test_items_beside_the_page_and_unlike_every_shot_stay_with_the_base():
    found = offsets([TEA[0], TEA[0]])
    assert not np.delete(found, PAGE).any()
    lonely = replace(SHOP, vectors=np.eye(len(SHOP.vectors), dtype=np.float32))
    adapter = page_adapter(lonely, LOCK, PAGE, np.array([TEA[0], TEA[0]]))
    assert set(adapter.item_ids) == {SHOP.item_ids[row] for row in TEA}


def test_shots_beside_the_page_count_through_their_texts_alone():
    twin = next(row for row in range(len(SHOP)) if row not in PAGE)
    assert offsets([twin, twin])[PAGE].any()


def test_few_strengths_serve_every_number_of_shots():
    table = {2: PageStrength(8, .1, 1.), 16: PageStrength(4, 0., .3)}
    assert [strength_at(table, shots).power for shots in (0, 2, 15, 16, 9999)] == [8, 8, 8, 4, 4]
    assert strength_at(PAGE_STRENGTHS, 1) == PAGE_STRENGTHS[4]
    for strength in PAGE_STRENGTHS.values():
        assert np.isfinite(offsets([TEA[0]] * 2, strengths={2: strength})).all()


def test_without_shots_the_base_serves():
    assert not offsets([]).any()


def test_a_large_lambda_leaves_more_to_the_base():
    mild, bold = (offsets([TEA[0]] * 2, strengths={2: PageStrength(8, .1, base)}) for base in (2., .5))
    np.testing.assert_allclose(bold, 4 * mild, rtol=1e-5)


def test_it_is_an_adapter_like_any_other(tmp_path):
    adapter = page_adapter(SHOP, LOCK, PAGE, np.array(TEA))
    adapter.save(tmp_path / "page")
    np.testing.assert_array_equal(Adapter.load(tmp_path / "page", LOCK).offsets(SHOP), adapter.offsets(SHOP))
    assert adapter.is_live(SHOP)
    assert adapter.settings["shots"] == 2


def test_a_large_page_takes_little_time():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(31_000, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{row:05d}" for row in range(31_000)]
    shop = Catalogue(pl.DataFrame({"item_id": ids, "text": ids, "category": ids[:1] * 31_000, "brand": ids[:1] * 31_000}),
                     np.arange(31_000, dtype=np.int32), vectors)
    shots, page = rng.integers(0, 31_000, 256), np.arange(31_000)
    page_adapter(shop, LOCK, page[:10], shots)
    began = time.process_time()
    page_adapter(shop, LOCK, page, shots)
    assert time.process_time() - began < 2.0  # 0.3 s on an idle core
