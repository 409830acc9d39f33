"""Every operation against SciPy's."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys_core.base_model.sparse import Sparse


def planted(seed: int, shape: tuple[int, int], density: float) -> sp.csr_array:
    return sp.csr_array(sp.random_array(shape, density=density, format="csr", dtype=np.float32,
                                        rng=np.random.default_rng(seed)))


@pytest.mark.parametrize(("rows", "density"), [(0, 0.1), (1, 0.001), (7, 0.05), (7, 0.6)])  # sparse sums and dense ones
def test_products_are_those_of_scipy(rows: int, density: float) -> None:
    left, right = planted(0, (rows, 400), density), planted(1, (400, 300), density)
    mine = Sparse.of(left)
    np.testing.assert_allclose(mine.times(Sparse.of(right)).dense(), (left @ right).toarray(), rtol=1e-5)
    dense = np.random.default_rng(2).normal(size=(400, 5)).astype(np.float32)
    np.testing.assert_allclose(mine.onto(dense), left @ dense, rtol=1e-4, atol=1e-5)
    other = planted(3, (rows, 400), density)
    np.testing.assert_allclose(mine.where(Sparse.of(other)).dense(), (left * other).toarray())


def test_entries_of_one_place_add_up_in_any_order() -> None:
    found = Sparse.summed(np.array([2, 0, 2, 2]), np.array([1, 3, 1, 0]), np.array([1.0, 2.0, 4.0, 8.0]), (3, 4))
    assert found.dense().tolist() == [[0, 0, 0, 2], [0, 0, 0, 0], [8, 5, 0, 0]]
    assert found.rows().tolist() == [0, 2, 2] and len(found) == 3


def test_one_row_can_be_looked_up() -> None:
    matrix = planted(0, (3, 50), 0.2)
    mine = Sparse.of(matrix)
    np.testing.assert_allclose(mine.at(2, np.array([49, 0, 7])), matrix.toarray()[2, [49, 0, 7]])
