"""Items like one item: what a shopper of nothing else would be led to, without what everybody takes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from recsys_core.answering.relations import Relation, Relations
from recsys_core.base_model import PART_NAMES, Ranker
from recsys_core.interactions import Catalogue, Histories
from recsys_core.metrics import top_rows

EVIDENCE = ("transitions", "text_transitions", "companions", "text_last", "brand", "category")
LEAST_TEXT = 1.0  # logits per unit of cosine, so that an item that nobody took has neighbours

LOOKED_AT = 300  # items, the best first, of which those of one relation are answered
TEXTS, OF_TEXTS = 20, 300  # nearest texts, and items of them, that may be duplicates or variants


class Similar(NamedTuple):
    """An item like another: its row, score, the named parts of it that are not 0, and what it is to the other."""

    row: int
    score: float
    reasons: dict[str, float]
    relation: Relation | None


def find_similar(ranker: Ranker, items: pl.DataFrame, ties: np.ndarray, row: int, k: int, relation: Relation | None
                 ) -> list[Similar]:
    """The items most like one, best first, and what they are to it.

    Args:
        ranker: of the bundle.
        items: its catalogue's, with every column that may tell variants apart.
        ties: int32 [N], the order among equal scores.
        row: the item's.
        k: the most that are answered.
        relation: only items of this one, also of the item's own text; None: of any, one item of each other text.
    """
    catalogue, (scores, parts) = ranker.catalogue, score_similar(ranker, row)
    others = scores.copy() if relation in ("duplicate", "variant") else one_per_text(scores, catalogue, row, ties)
    others[row] = -np.inf
    teller = Relations(items, catalogue, ranker, row)
    rows = top_rows(others, LOOKED_AT if relation else k, ties)
    if relation in ("duplicate", "variant"):
        nearest = np.argsort(-teller.cosines, kind="stable")[:TEXTS]
        own = np.flatnonzero(np.isin(catalogue.text_of_item, nearest))
        near = own[top_rows(others[own], OF_TEXTS, ties[own])]
        rows = np.union1d(rows, near)
        rows = rows[np.lexsort((ties[rows], -others[rows]))]
    found = [Similar(at, float(scores[at]), {name: float(part[at]) for name, part in parts.items() if part[at]}, told)
             for at, told in zip(rows.tolist(), teller.of(rows.tolist()), strict=True)]
    return [one for one in found if relation in (None, one.relation)][:k]


def score_similar(ranker: Ranker, row: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """How alike all items are to one: what follows it, who takes both, text, brand and category.

    The parts and their weights are the ranker's for one known step, negative weights set to 0.

    Args:
        ranker: of the bundle.
        row: the item's.

    Returns:
        scores float32 [N], and the named parts that add up to them, float32 [N] each.
    """
    zero = np.zeros(1, np.float32)
    weighed = ranker.weigh(Histories(np.array([0, 1]), np.array([row], np.int32), zero, zero, np.zeros(1, np.int8)))
    parts, nothing = {}, np.zeros(len(ranker.catalogue), np.float32)
    for at, name in enumerate(PART_NAMES):
        weight = max(float(weighed.weights[0, at]), LEAST_TEXT if name == "text_last" else 0.0)
        if name in EVIDENCE and weight:
            parts[name] = replace(weighed, pieces=weighed.pieces[at:at + 1], weights=np.array([[weight]], np.float32),
                                  static=[nothing]).score()[0]
    return np.add.reduce(list(parts.values())), parts


def one_per_text(scores: np.ndarray, catalogue: Catalogue, row: int, ties: np.ndarray) -> np.ndarray:
    """The scores without the item itself and with one item of every other text, the best; −inf elsewhere.

    Args:
        scores: float32 [N].
        catalogue: N items.
        row: the item's.
        ties: int32 [N], the order among equal scores.
    """
    order = np.lexsort((ties, -scores))
    _, first = np.unique(catalogue.text_of_item[order], return_index=True)
    kept = np.full_like(scores, -np.inf)
    best = order[first]
    best = best[catalogue.text_of_item[best] != catalogue.text_of_item[row]]
    kept[best] = scores[best]
    return kept
