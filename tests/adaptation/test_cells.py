"""Cells: exact for groups, close for texts, and few."""

import numpy as np
import polars as pl

from recsys_core.adaptation.cells import MOST_CELLS, make_cells
from recsys_core.interactions.arrays import Catalogue
from tests.adaptation.planted import make_catalogue


def share_of(shop: Catalogue) -> np.ndarray:
    share = np.random.default_rng(0).uniform(1, 9, len(shop))
    return share / share.sum()


def test_items_of_a_cell_agree_in_every_group():
    shop = make_catalogue()
    cells = make_cells(shop, share_of(shop), shop.vectors)
    for (_, codes, _), of_cell in zip(shop.groups, cells.codes, strict=True):
        np.testing.assert_array_equal(of_cell[cells.of_item], codes)


def test_shares_and_moments_add_up():
    shop = make_catalogue()
    share = share_of(shop)
    cells = make_cells(shop, share, shop.vectors)
    r = shop.vectors.shape[1]
    np.testing.assert_allclose(np.bincount(cells.of_item, share), cells.share)
    np.testing.assert_allclose(cells.share @ cells.moments[:, :r], share @ shop.item_vectors, atol=1e-6)
    np.testing.assert_allclose(cells.share @ cells.moments[:, r:], share @ shop.item_vectors**2, atol=1e-6)


def test_without_groups_the_texts_alone_make_cells():
    shop = make_catalogue()
    bare = Catalogue(shop.items.with_columns(category=pl.lit(None, pl.String), brand=pl.lit(None, pl.String)),
                     shop.text_of_item, shop.vectors)
    cells = make_cells(bare, share_of(bare), bare.vectors)
    assert cells.codes.shape == (0, len(cells.share)) and len(cells.share) > 60  # of 72 texts


def test_a_large_catalogue_keeps_few_cells_and_never_merges_groups():
    n = 20_000
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, 16)).astype(np.float32)

    def cells(brands: int):
        items = pl.DataFrame({"item_id": [f"{row:05d}" for row in range(n)], "category": [None] * n,
                              "brand": [f"b{row % brands}" for row in range(n)]},
                             schema_overrides={"category": pl.String})
        return make_cells(Catalogue(items, np.arange(n, dtype=np.int32), vectors), np.full(n, 1 / n), vectors)

    assert 1000 < len(cells(3).share) <= MOST_CELLS
    assert len(cells(6000).share) == 6000
