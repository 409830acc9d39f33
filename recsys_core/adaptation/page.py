"""Few shots of a page whose items the base has not counted: a new department, a new brand, a shop's first week.

Counting the shots is hard to beat there, and what it lacks is every item without a shot. So a count is shared with items
of similar texts, and the base breaks what is then still even:

    value_i = (log(c_i + w·d_i + ε) − log ε) / λ,    d_i = Σ_j max(cos(i, j), 0)^p · c_j

with c_i the shots of item i and the sum over all shots' texts. An item unlike every shot gets 0. A large λ leaves more to
the base; a small one is plain counting. How much to share and to trust depends on the number of shots, not on the page:
`PAGE_STRENGTHS` were learned on pages of other shops (benchmarks/fewshot/pages.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from recsys_core.adaptation.adapter import Adapter
from recsys_core.interactions import Catalogue

EPSILON = 0.001
POWERS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class PageStrength:
    """p: how alike texts must be to share (one of `POWERS`). w: how much they share. λ: how much is left to the base."""

    power: int
    share: float
    base: float


# By number of shots, from this many on: a step function, the next lower entry holds; below 4 shots, that of 4. Learned on
# 12 departments of the embedded shop and 23 text clusters of Amazon Industrial & Scientific, each withheld from the base.
PAGE_STRENGTHS: Mapping[int, PageStrength] = {
    4: PageStrength(16, 0.001, 1.5), 16: PageStrength(4, 0.1, 1.5), 64: PageStrength(8, 0.01, 0.6),
    256: PageStrength(4, 0.003, 0.6)}


def page_adapter(catalogue: Catalogue, lock: dict[str, str], page_rows: np.ndarray, items: np.ndarray,
                 strengths: Mapping[int, PageStrength] = PAGE_STRENGTHS) -> Adapter:
    """Adapt to a page from its first shots.

    Args:
        catalogue: the base's items.
        lock: the base's hashes.
        page_rows: int [m], the catalogue rows the page offers.
        items: int [K], the shots' rows; those beside the page tell what is similar, and get no value themselves.
        strengths: number of shots → strength.

    Returns:
        An adapter of values of single items; what is beside the page stays with the base.
    """
    page_rows, items = np.unique(page_rows), np.asarray(items)
    strength = strength_at(strengths, len(items))
    values = page_values(catalogue, page_rows, items, strength)
    on, ids = np.flatnonzero(values), catalogue.item_ids
    return Adapter("page", "page", dict(lock), np.zeros(catalogue.vectors.shape[1], np.float32),
                   item_ids=tuple([ids[row] for row in page_rows[on].tolist()]), item_values=values[on],
                   settings={"shots": len(items), "items": len(page_rows), "strength": asdict(strength)})


def strength_at(strengths: Mapping[int, PageStrength], shots: int) -> PageStrength:
    """The entry of the largest number of shots that is not above `shots`; below the least, the least.

    >>> strength_at({2: PageStrength(8, .1, 1.), 16: PageStrength(8, 0., .3)}, 15)
    PageStrength(power=8, share=0.1, base=1.0)
    """
    return strengths[max((least for least in strengths if least <= shots), default=min(strengths))]


def page_values(catalogue: Catalogue, page_rows: np.ndarray, items: np.ndarray, strength: PageStrength) -> np.ndarray:
    """The values of a page's items under one strength, float32 [m]; arguments as in `page_adapter`, rows distinct."""
    counts, alike = shot_counts(catalogue, page_rows, items, (strength.power,))
    return values_of(counts, alike[strength.power], strength)


def values_of(counts: np.ndarray, alike: np.ndarray, strength: PageStrength) -> np.ndarray:
    """The formula above from c and d, float32 like them in shape."""
    known = np.log((counts + strength.share * alike + EPSILON) / EPSILON)
    return (known / strength.base).astype(np.float32)


def shot_counts(catalogue: Catalogue, page_rows: np.ndarray, items: np.ndarray,
                powers: tuple[int, ...]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """c float64 [m], and d float64 [m] by power p. Texts that occur twice are compared once."""
    counts = np.bincount(items, minlength=len(catalogue))[page_rows].astype(np.float64)
    texts, text_of_row = np.unique(catalogue.text_of_item[page_rows], return_inverse=True)
    shot_texts, weight = np.unique(catalogue.text_of_item[items], return_counts=True)
    near = np.maximum(catalogue.vectors[texts] @ catalogue.vectors[shot_texts].T, np.float32(0))
    found = {}
    for power in POWERS[:POWERS.index(max(powers)) + 1]:
        if power in powers:
            found[power] = (near @ weight.astype(np.float32)).astype(np.float64)[text_of_row]
        near *= near  # squaring is the fast way to the powers
    return counts, found
