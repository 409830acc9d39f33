"""How good a search is: judged queries answered from the whole catalogue, by weights that they did not teach.

Items of one document have the same words and count as one. A document is relevant where its gain is above 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys_core.metrics import expected_ranks, metrics_from_ranks, paired_bootstrap
from recsys_core.retrieval import UNLIKE, SearchConfig, Searched, query_parts

MOST_JUDGED = 1_000  # queries; of more so many are drawn
DEPTH, DEEP = 10, 50
SHARES = {"head": 1 / 3, "torso": 2 / 3, "tail": 1.0}  # of all searches, the queries asked most often first


def judge_search(asked: Mapping[str, Mapping[int, float]], configs: Sequence[SearchConfig], searched: Searched,
                 searches: Mapping[str, int], rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """NDCG@10 with linear gains, MRR@10, recall@50, and the share of queries that nothing fits.

    Args:
        asked: Q clean queries → {document: gain}, one gain above 0 at least.
        configs: Q, of each query the weights that it did not teach.
        searched: the catalogue.
        searches: clean query → how often shoppers asked it; empty: nobody knows.
        rng: draws queries, and those of the intervals.

    Returns:
        all, and where searches are known head, torso and tail → queries, nothing [0, 1], and of each metric the
        interval as plain values.
    """
    drawn = np.sort(rng.permutation(len(asked))[:MOST_JUDGED]).tolist()
    queries = [list(asked)[at] for at in drawn]
    graded = [{row: gain for row, gain in asked[query].items() if gain > 0} for query in queries]
    answers = [_answer(query, one, configs[at], searched) for query, one, at in zip(queries, graded, drawn, strict=True)]
    indptr = np.r_[0, np.cumsum([len(one) for one in graded])].astype(np.int64)
    greater, tied = (np.concatenate([answer[part] for answer in answers]) for part in (0, 1))
    gains = np.array([gain for one in graded for gain in one.values()])
    found = {f"ndcg@{DEPTH}": _graded_ndcg(greater, tied, gains, indptr),
             f"mrr@{DEPTH}": metrics_from_ranks(greater, tied, indptr, DEPTH)[f"mrr@{DEPTH}"],
             f"recall@{DEEP}": metrics_from_ranks(greater, tied, indptr, DEEP)[f"recall@{DEEP}"]}
    nothing = np.array([answer[2] for answer in answers])
    return {name: {"queries": len(rows), "nothing": float(nothing[rows].mean()),
                   "metrics": {metric: paired_bootstrap(values[rows], rows, rng).to_json() for metric, values in found.items()}}
            for name, rows in _slices(queries, searches).items() if len(rows)}


def _answer(query: str, graded: Mapping[int, float], config: SearchConfig, searched: Searched
            ) -> tuple[np.ndarray, np.ndarray, bool]:
    """How many documents are above and level with each graded one, and whether nothing fits the query."""
    found = query_parts(query, searched.vectors, searched.encoder, searched.lexical, config)
    scores = found.scores + (config.popularity * searched.popularity).astype(np.float32)
    greater, tied = expected_ranks(scores[None], np.array([0, len(graded)]), np.array(list(graded)))
    return greater, tied, not found.parts or (found.note or "").startswith(UNLIKE)


def _graded_ndcg(greater: np.ndarray, tied: np.ndarray, gains: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """float64 [Q]; a tie block shares its places, as in `metrics_from_ranks`.

    >>> _graded_ndcg(np.array([1, 0]), np.array([0, 0]), np.array([1.0, 0.5]), np.array([0, 2])).round(3).tolist()
    [0.86]
    """
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))]
    share = (discounts[np.minimum(greater + tied + 1, DEPTH)] - discounts[np.minimum(greater, DEPTH)]) / (tied + 1)
    reached = np.add.reduceat(gains * share, indptr[:-1])
    best = [np.sort(own)[::-1][:DEPTH] for own in np.split(gains, indptr[1:-1])]
    return reached / np.array([own @ np.diff(discounts)[:len(own)] for own in best])


def _slices(queries: Sequence[str], searches: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Rows of all queries, and of those asked often, less often, seldom; queries asked as often are in one slice.

    >>> found = _slices(["mug", "pot", "rug"], {"mug": 6, "pot": 3, "rug": 1, "hat": 8})
    >>> {name: rows.tolist() for name, rows in found.items()}
    {'all': [0, 1, 2], 'head': [], 'torso': [0], 'tail': [1, 2]}
    """
    found = {"all": np.arange(len(queries))}
    if not searches:
        return found
    counts, places = np.unique(np.array(sorted(searches.values())), return_inverse=True)
    volume = np.bincount(places) * counts
    before = (volume.sum() - np.cumsum(volume)) / volume.sum()  # share of the searches for queries asked more often
    own = np.array([searches.get(query, 0) for query in queries])
    share = np.where(own > 0, before[np.minimum(np.searchsorted(counts, own), len(counts) - 1)], 1.0)
    slice_of = np.minimum(np.searchsorted(list(SHARES.values()), share, side="right"), len(SHARES) - 1)
    return found | {name: np.flatnonzero(slice_of == at) for at, name in enumerate(SHARES)}
