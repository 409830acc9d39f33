"""Which past item brought how much of a score: the ranker's parts, split over the distinct items of one history.

The path starts at the empty history, so popularity and trend count as they would for a stranger, and the history brings all
the rest. Three rules split that, each in closed form and without a remainder, so nothing is integrated numerically:

- What is said of an item as a repeat belongs to that item, products with other evidence included: without it they are 0.
- f(Σ s_j) with f(0) = 0 gives item j the share s_j / Σ s of f (Integrated Gradients, Sundararajan et al. 2017). A preference
  log((c + b) / (b + T·share)) has two such sums, c and T. A cosine is linear in the items once its norm is given.
- Popularity and trend weigh less, or more, the more steps are known: every step brings the same share of that change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys_core.base_model.parts import PART_NAMES, Evidence
from recsys_core.base_model.sparse import Sparse
from recsys_core.interactions import Histories

LEAST = 1e-3  # events that weigh less are left out, as `Evidence` does
STATIC = ("popularity", "bestseller", "trend")
REPEATS = tuple(name for name in PART_NAMES if name.startswith("repeat"))


@dataclass(frozen=True)
class Attribution:
    """The ranker's score of k items by where it comes from; all three add up to it.

    Args:
        items: int64 [J], the distinct catalogue rows of the history, ascending.
        history: float64 [k, J], logits that each of them brings.
        popularity: float64 [k], logits of how often the item is taken by everybody.
        trend: float64 [k], logits of how much oftener it is taken of late.
        rising: bool [k], whether it is taken oftener of late than before.
    """

    items: np.ndarray
    history: np.ndarray
    popularity: np.ndarray
    trend: np.ndarray
    rising: np.ndarray


def attribute(evidence: Evidence, history: Histories, rows: np.ndarray, parts: np.ndarray, weights: np.ndarray,
              stranger: np.ndarray) -> Attribution:
    """Split the score of some items over the items of one history.

    Args:
        evidence: what turns histories into parts.
        history: a single one.
        rows: int [k], catalogue rows of the explained items.
        parts: float32 [k, P], their parts, unweighted.
        weights: float32 [P], of the parts for this history.
        stranger: float32 [P], of the parts where nothing is known.
    """
    value = dict(zip(PART_NAMES, parts.T.astype(np.float64), strict=True))
    weight = dict(zip(PART_NAMES, weights.tolist(), strict=True))
    before = dict(zip(PART_NAMES, stranger.tolist(), strict=True))
    items, of_event = np.unique(history.items, return_inverse=True)
    total = (items == rows[:, None]) * sum(weight[name] * value[name] for name in REPEATS)[:, None]
    for name, split in _splits(evidence, history, items, of_event, rows) if len(items) else ():
        total += weight[name] * split
    changed = sum((weight[name] - before[name]) * value[name] for name in STATIC)
    total += changed[:, None] * _step_shares(history.steps_ago, of_event, len(items))
    popularity = before["popularity"] * value["popularity"] + before["bestseller"] * value["bestseller"]
    return Attribution(items.astype(np.int64), total, popularity, before["trend"] * value["trend"], value["trend"] > 0)


def _step_shares(ago: np.ndarray, of_event: np.ndarray, size: int) -> np.ndarray:
    """float64 [J]: each item's share of the steps, a step divided evenly among its events."""
    _, step, events = np.unique(ago, return_inverse=True, return_counts=True)
    return np.bincount(of_event, 1.0 / (events[step] * max(len(events), 1)), size)


def _splits(evidence: Evidence, history: Histories, items: np.ndarray, of_event: np.ndarray, rows: np.ndarray
            ) -> Iterator[tuple[str, np.ndarray]]:
    """Every part that is evidence of other items, unweighted, by the items it comes from: float64 [k, J]."""
    counts, config, catalogue, ago = evidence.counts, evidence.config, evidence.catalogue, history.steps_ago

    def decayed(weight: np.ndarray) -> np.ndarray:
        return np.bincount(of_event, np.where(weight > LEAST, weight, 0), len(items))

    follow = decayed(config.follow_decay ** ago)
    texts, asked = catalogue.text_of_item[items], catalogue.text_of_item[rows]
    yield "transitions", _log_split(follow * _block(counts.transitions, items, rows), config.follow_epsilon)
    yield "text_transitions", _log_split(follow * _block(counts.text_transitions, texts, asked), config.text_follow_epsilon)
    yield "companions", _log_split(_block(counts.companions, items, rows), config.companion_epsilon)
    past, answered = (catalogue.vectors[at].astype(np.float64) for at in (texts, asked))
    similar = answered @ past.T
    for name, weight in (("text_profile", decayed(config.profile_decay ** ago)), ("text_last", decayed(ago == 0))):
        yield name, similar * weight / max(float(np.linalg.norm(weight @ past)), 1e-9)
    preference = np.bincount(of_event, config.preference_decay ** ago, len(items))
    for name, codes in evidence.groups.items():
        yield name, _preference_split(preference, codes[items], codes[rows], config.preference_pseudo_events,
                                      evidence.group_share[name].astype(np.float64))


def _log_split(flow: np.ndarray, epsilon: float) -> np.ndarray:
    """log(1 + Σ_j flow_j / ε), each item its share of the sum: [k, J] → [k, J]."""
    total = flow.sum(axis=1, keepdims=True)
    return flow * np.divide(np.log1p(total / epsilon), total, out=np.zeros_like(total), where=total > 0)


def _preference_split(weight: np.ndarray, past: np.ndarray, asked: np.ndarray, pseudo: float, share: np.ndarray) -> np.ndarray:
    """log((c + κ·share) / ((T + κ)·share)): items of the asked group raise c, items of any known group raise T.

    Args:
        weight: float64 [J], of each past item.
        past: int [J], their groups, 0 where not known.
        asked: int [k], the explained items' groups.
        pseudo: κ.
        share: float64 [G], of all events.
    """
    weight, base = weight * (past > 0), pseudo * share[asked][:, None]
    same = weight * (past == asked[:, None])
    counted, known = same.sum(axis=1, keepdims=True), max(float(weight.sum()), 1e-300)
    raised = same * np.divide(np.log1p(counted / base), counted, out=np.zeros_like(counted), where=counted > 0)
    return (raised - weight * (np.log1p(known / pseudo) / known)) * (asked > 0)[:, None]


def _block(matrix: Sparse, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The entries between some rows and some columns, which may repeat: float64 [len(columns), len(rows)]."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    lengths = ends - starts
    at = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    distinct, place = np.unique(columns, return_inverse=True)
    found = matrix.indices[at]
    where = np.minimum(np.searchsorted(distinct, found), len(distinct) - 1)
    kept = np.flatnonzero(distinct[where] == found)
    out = np.zeros((len(distinct), len(rows)))
    out[where[kept], np.repeat(np.arange(len(rows)), lengths)[kept]] = matrix.data[at[kept]]
    return out[place]
