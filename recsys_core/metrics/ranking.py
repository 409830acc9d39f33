"""Metrics over full rankings; ties always count at their exact expectation.

Equal scores say nothing about order, so no item id may decide it: every order of a *tie block*
(items with equal scores) is taken as equally likely, and each ranking metric is the exact mean over
those orders. An item scored −inf, or excluded, is not offered: it is never ranked, and a target
among them is a miss. NaN scores are an error.

Ragged targets are `target_indptr` int64 [n+1] and `targets` int [nnz], distinct within a query.
"""

from __future__ import annotations

import numpy as np

from recsys_core.errors import DataError
from recsys_core.interactions import Histories

UNRANKED = 2**40  # `greater` of a target that is not offered: beyond any k
LIKELY = 1024  # items that decide most misses before the rest is looked at


def expected_ranks(scores: np.ndarray, target_indptr: np.ndarray, targets: np.ndarray,
                   exclude: tuple[np.ndarray, np.ndarray] | None = None,
                   depth: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Count the offered items above and level with each target: all that any ranking metric needs.

    Args:
        scores: float [n, N], higher is better.
        target_indptr: int64 [n+1].
        targets: int32 [nnz], the targets' columns in `scores`.
        exclude: (indptr [n+1], items [nnz]), per query the items that are not offered (seen before).
        depth: metrics are wanted at no more than this k. Most targets are then misses that a few likely items prove, and
            their `greater` is only known to be at least `depth`: far faster in a large catalogue.

    Returns:
        greater, tied: int64 [nnz]; offered items that score strictly higher, and other offered
        items that score the same. Other targets count like any item. (`UNRANKED`, 0) if not offered.

    Raises:
        DataError: NaN scores, or arrays that do not fit together.

    >>> scores = np.array([[.9, .5, .5, .5, .1]], np.float32)
    >>> [x.tolist() for x in expected_ranks(scores, np.array([0, 2]), np.array([0, 2]))]
    [[0, 1], [0, 2]]
    """
    if len(scores) != len(target_indptr) - 1 or len(targets) != target_indptr[-1]:
        raise DataError("ranking scores", f"{len(scores)} rows for {len(target_indptr) - 1} queries with "
                        f"{len(targets)} targets", "pass one row of scores per query")
    greater, tied = np.full(len(targets), UNRANKED, np.int64), np.zeros(len(targets), np.int64)
    likely = _likely_items(scores) if depth is not None and scores.size else None
    for row, values in enumerate(scores):
        if np.isnan(values.max()):
            raise DataError("ranking scores", f"query {row} has NaN scores", "check the model that scored it")
        if exclude is not None:
            values = values.copy()
            values[exclude[1][exclude[0][row]:exclude[0][row + 1]]] = -np.inf
        near = values[likely] if likely is not None else None
        for at in range(target_indptr[row], target_indptr[row + 1]):
            own = values[targets[at]]
            if own == -np.inf or (near is not None and depth is not None and np.count_nonzero(near > own) >= depth):
                continue
            greater[at] = np.count_nonzero(values > own)
            tied[at] = np.count_nonzero(values == own) - 1
    return greater, tied


def _likely_items(scores: np.ndarray) -> np.ndarray | None:
    """The items that score best on average over a few of the rows; None where there are few items to begin with."""
    if scores.shape[1] <= 2 * LIKELY:
        return None
    usual = scores[::-(-len(scores) // 16)].mean(axis=0)
    return np.argpartition(usual, -LIKELY)[-LIKELY:]


def metrics_from_ranks(greater: np.ndarray, tied: np.ndarray, target_indptr: np.ndarray,
                       k: int = 10) -> dict[str, np.ndarray]:
    """NDCG, recall, hit rate and MRR at `k` per query, from the counts of `expected_ranks`.

    A tie block of b items below g better ones fills positions g+1 … g+b. By symmetry each of its m
    targets is at each of those positions with probability 1/b, so by linearity of expectation
    (Cormack and Lynam 2007; McSherry and Najork 2008)

    - E[DCG] = Σ over targets of (Σ 1/log2(p+1), block positions p ≤ k) / b; ideal: min(k, targets) hits;
    - E[recall] = Σ over targets of (block positions p ≤ k) / b, over the number of targets.

    The first hit lies in the best block that holds a target. Going down its positions, the next one
    holds a target with chance m / (b − places passed), given none so far; products of the
    complements are the hypergeometric P(no hit), which gives hit rate and E[1 / first hit's rank].

    Returns:
        {"ndcg@k", "recall@k", "hr@k", "mrr@k"}: float64 [n], in [0, 1].

    >>> found = metrics_from_ranks(np.array([1]), np.array([2]), np.array([0, 1]), k=2)
    >>> {name: round(float(value[0]), 4) for name, value in found.items()}  # positions 2, 3, 4 alike
    {'ndcg@2': 0.2103, 'recall@2': 0.3333, 'hr@2': 0.3333, 'mrr@2': 0.1667}
    """
    n, counts, starts = len(target_indptr) - 1, np.diff(target_indptr), target_indptr[:-1]
    if n and counts.min() < 1:
        raise DataError("ranking queries", f"query {counts.argmin()} has no target",
                        "ask only steps with targets")
    if n == 0:
        return {f"{name}@{k}": np.zeros(0) for name in ("ndcg", "recall", "hr", "mrr")}
    query = np.repeat(np.arange(n), counts)
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, k + 2)))]
    block = tied + 1
    top, end = np.minimum(greater, k), np.minimum(greater + block, k)
    ndcg = np.bincount(query, (discounts[end] - discounts[top]) / block, n) / discounts[np.minimum(counts, k)]
    recall = np.bincount(query, (end - top) / block, n) / counts

    first = np.minimum.reduceat(greater, starts)
    in_first = greater == first[query]
    size = np.maximum.reduceat(np.where(in_first, block, 0), starts)
    inside = np.bincount(query, in_first, n)
    missed, mrr = np.ones(n), np.zeros(n)
    for passed in range(k):
        rank = first + passed + 1
        chance = np.where((passed < size) & (rank <= k), inside / np.maximum(size - passed, inside), 0.0)
        mrr += missed * chance / rank
        missed *= 1 - chance
    return {f"ndcg@{k}": ndcg, f"recall@{k}": recall, f"hr@{k}": 1 - missed, f"mrr@{k}": mrr}


def ranking_metrics(scores: np.ndarray, target_indptr: np.ndarray, targets: np.ndarray, k: int = 10,
                    exclude: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Expected ranks and their metrics in one call; see `expected_ranks` and `metrics_from_ranks`.

    >>> scores = np.array([[.1, .2, .9], [.1, .2, .9]], np.float32)
    >>> ranking_metrics(scores, np.array([0, 1, 2]), np.array([2, 1]), k=2)["mrr@2"].tolist()
    [1.0, 0.5]
    """
    return metrics_from_ranks(*expected_ranks(scores, target_indptr, targets, exclude), target_indptr, k)


def split_targets(target_indptr: np.ndarray, targets: np.ndarray, histories: Histories) -> np.ndarray:
    """Tell repeats from first-time targets: bool [nnz], True where the query's history holds the target.

    >>> past = Histories(np.array([0, 2]), np.array([7, 8]), *[np.zeros(2)] * 3)
    >>> split_targets(np.array([0, 2]), np.array([8, 9]), past).tolist()
    [True, False]
    """
    width = int(max(targets.max(initial=0), histories.items.max(initial=0))) + 1
    asked = np.repeat(np.arange(len(target_indptr) - 1), np.diff(target_indptr)) * width + targets
    known = np.repeat(np.arange(len(histories)), np.diff(histories.indptr)) * width + histories.items
    return np.isin(asked, known)


def slice_targets(target_indptr: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Restrict queries to some of their targets, the rest staying in the ranking as competitors.

    Use with `metrics_from_ranks(greater[keep], tied[keep], indptr)`.

    Args:
        target_indptr: int64 [n+1].
        keep: bool [nnz].

    Returns:
        queries int64 [m] that keep a target, and their target_indptr int64 [m+1].

    >>> [x.tolist() for x in slice_targets(np.array([0, 2, 3]), np.array([True, True, False]))]
    [[0], [0, 2]]
    """
    kept = np.diff(np.r_[0, np.cumsum(keep)][target_indptr])
    queries = np.flatnonzero(kept)
    return queries, np.r_[0, np.cumsum(kept[queries])].astype(np.int64)


def coverage(top: np.ndarray, items: int) -> float:
    """Share of the catalogue that appears in any of the lists (−1 is padding).

    >>> coverage(np.array([[0, 1], [1, -1]]), items=4)
    0.5
    """
    return len(np.unique(top[top >= 0])) / items


def novelty(top: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Mean self-information −log2 p(item) of each list in bits (Zhou et al. 2010): float64 [n].

    Args:
        top: int [n, k], the lists; −1 where they are shorter.
        popularity: training counts [N]; p is smoothed by one event per item. An empty list has 0.

    >>> novelty(np.array([[0, 1]]), np.array([0, 2])).tolist()  # p = 1/4 and 3/4
    [1.207518749639422]
    """
    bits = -np.log2((popularity + 1) / (popularity.sum() + len(popularity)))
    shown = top >= 0
    return np.where(shown, bits[top], 0.0).sum(1) / np.maximum(shown.sum(1), 1)


def long_tail(popularity: np.ndarray, share: float = 0.8) -> np.ndarray:
    """bool [N]: the least popular `share` of items; whole groups of equal popularity go to the tail.

    Long-tail recall is the recall of these targets: `slice_targets(indptr, long_tail(counts)[targets])`.

    >>> long_tail(np.array([9, 1, 0, 2, 1])).tolist()
    [False, True, True, True, True]
    """
    return popularity <= np.sort(popularity)[max(int(np.ceil(share * len(popularity))) - 1, 0)]
