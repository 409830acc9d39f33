"""The catalogue in a few thousand cells, so that a request never has to touch every item.

Items of one cell agree in every group (brand, levels of the category path), so tilting groups is exact
on cells; cells are split further by the signs of the leading text components for as long as they stay
few, so that the items of a cell also read alike and their mean stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys_core.interactions import Catalogue

MOST_CELLS = 4096  # no split by text beyond this; a tilt of the texts costs half a millisecond here
SIGN_BITS = 12


@dataclass(frozen=True)
class Cells:
    """U cells of a catalogue.

    Args:
        of_item: int32 [N].
        codes: int32 [L, U], per level of `Catalogue.groups` the cell's group, −1 where it has none.
        share: float64 [U], the base's popularity.
        moments: float32 [U, 2r], mean of the text components among a cell's items, and of their squares.
    """

    of_item: np.ndarray
    codes: np.ndarray
    share: np.ndarray
    moments: np.ndarray

    @cached_property
    def runs(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per level: cells in the order of their groups, the groups that occur, and where each one's run starts."""
        found = []
        for codes in self.codes:
            order = np.argsort(codes, kind="stable")
            groups, starts = np.unique(codes[order], return_index=True)
            found.append((order, groups, starts))
        return found


def make_cells(catalogue: Catalogue, item_share: np.ndarray, components: np.ndarray) -> Cells:
    """Divide a catalogue.

    Args:
        item_share: float64 [N], > 0.
        components: float32 [M, r], the texts on their leading components.
    """
    groups = np.zeros(len(catalogue), np.int64)
    for _, codes, labels in catalogue.groups:
        groups = np.unique(groups * (len(labels) + 1) + codes + 1, return_inverse=True)[1]
    text_of_item = catalogue.text_of_item
    weights = np.bincount(text_of_item, item_share, len(components))
    positive = components[:, :SIGN_BITS] > weights @ components[:, :SIGN_BITS] / weights.sum()
    for bits in range(positive.shape[1], -1, -1):
        signs = (positive[:, :bits] @ (1 << np.arange(bits)))[text_of_item].astype(np.int64)
        _, first, of_item = np.unique(groups << SIGN_BITS | signs, return_index=True, return_inverse=True)
        if len(first) <= MOST_CELLS:
            break
    share = np.bincount(of_item, item_share)
    values = np.hstack([components, components**2])
    moments = np.empty((len(first), values.shape[1]), np.float32)
    for column in range(values.shape[1]):
        moments[:, column] = np.bincount(of_item, item_share * values[text_of_item, column]) / share
    levels = [codes[first] for _, codes, _ in catalogue.groups]
    return Cells(of_item.astype(np.int32), np.array(levels, np.int32).reshape(len(levels), len(first)), share, moments)
