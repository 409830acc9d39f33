"""Single items: how much more often each was taken than the stages before expect.

An item's count is Poisson with mean λE, E what is expected. Most items are taken about as often as expected, a few far more
often, so λ ~ (1 − π) Gamma(a, a) + π Gamma(½, ½), both with mean 1. The offset is the log of the posterior mean of λ
(gamma–Poisson shrinker, DuMouchel 1999):

    o = log((1 − w) (c + a) / (E + a) + w (c + ½) / (E + ½)),  w = P(second kind | c)

An item that was expected and not taken is lowered; one that was hardly expected stays. Counts of one shopper resemble each
other: c and E are divided by the design effect (`closed_form.Strengths`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys_core.adaptation.levels import Rows, Values

WIDE = 0.5  # shape of the second kind's prior
BINS = 256  # sizes of shares that sums over all items tell apart
LEAST = 0.05  # items not taken are lowered where the first kind lowers them by so much,
LEAST_WIDE = 1.0  # or, with a second kind, from so many expected shots on


class ItemPrior(NamedTuple):
    """What is believed of single items before their counts are seen.

    Attributes:
        a: shape of the first kind's prior, in expected shots, > 0.
        rare: π, the share of the second kind, in [0, 1).
    """

    a: float
    rare: float

    @property
    def least_expected(self) -> float:
        """Items that were not taken and of which fewer were expected stay as they are."""
        return min(LEAST * self.a, LEAST_WIDE if self.rare else np.inf)


def log_lift(count: np.ndarray, expected: np.ndarray, prior: ItemPrior) -> np.ndarray:
    """o float64 of counts ≥ 0 and expected counts > 0, of one shape."""
    a, rare = prior
    mean = (count + a) / (expected + a)
    if rare:
        from scipy.special import expit  # learning needs it, serving does not

        odds = np.log(rare / (1 - rare)) + _log_likelihood(count, expected, WIDE) - _log_likelihood(count, expected, a)
        mean = mean + expit(odds) * ((count + WIDE) / (expected + WIDE) - mean)
    return np.log(mean)


def _log_likelihood(count: np.ndarray, expected: np.ndarray, shape: float) -> np.ndarray:
    """Negative binomial log-likelihood, up to what does not depend on the shape."""
    from scipy.special import gammaln

    return (gammaln(count + shape) - gammaln(shape) - shape * np.log1p(expected / shape)
            + count * np.log(expected / (expected + shape)))


def unseen_items(order: np.ndarray, share: np.ndarray, taken: np.ndarray, least: float) -> np.ndarray:
    """Items that were not taken but whose share is at least `least`: int64, in the order of `order`.

    Args:
        order: int [N], items by falling share.
        share: float64 [N].
        taken: int [m], distinct.
    """
    head = order[:np.searchsorted(-share[order], -least, side="right")]
    return head[~np.isin(head, taken)]


def spectrum(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A catalogue's shares by size, for sums over all items: mass float64 [BINS] and mean share float64 [BINS] > 0."""
    size = np.log(share)
    edges = np.linspace(size.min(), size.max() + 1e-9, BINS + 1)
    at = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, BINS - 1)
    mass = np.bincount(at, share, BINS)
    return mass, np.maximum(mass, 1e-300) / np.maximum(np.bincount(at, minlength=BINS), 1)


def item_gains(rows: Rows, unseen: Rows, before: np.ndarray, expected: np.ndarray, spectra: np.ndarray, effect: np.ndarray,
               grid: list[ItemPrior]) -> np.ndarray:
    """What each prior gains over no item stage when other users' shots predict each user's: nats, float64 [M, S].

    The partition is that of all shots: what one user adds to it cancels over the users. Items that are neither among the
    shots nor in `unseen` enter it with their shares before the first stage, by size.

    Args:
        rows: one row per shot.
        unseen: `unseen_items` of every segment.
        before: float64 [T + unseen], their shares before the first stage.
        expected: float64 [T + unseen], their shares now.
        spectra: float64 [S, 2, BINS], `spectrum` of each segment's shares before.
        effect: float64 [S], design effects.
    """
    t, width = len(rows.item), int(rows.item.max(initial=0)) + 1
    shots = np.bincount(rows.segment, minlength=rows.segments)
    by_user = np.bincount(rows.users) if t else np.zeros(0, np.int64)
    _, first, times = np.unique(rows.users * width + rows.item, return_index=True, return_counts=True)
    _, one, item = np.unique(rows.segment[first] * width + rows.item[first], return_index=True, return_inverse=True)
    count = np.bincount(item, times, len(one)).astype(np.float64)
    segment, share, size = rows.segment[first], expected[:t][first], effect[rows.segment[first]]
    left = (count[item] - times) / size
    left_expected = (shots[segment] - by_user[rows.users[first]]) * share / size
    all_segment = np.r_[segment[one], unseen.segment]
    all_share = np.r_[share[one], expected[t:]]
    all_effect = effect[all_segment]
    all_count, all_expected = np.r_[count, np.zeros(len(unseen.item))] / all_effect, shots[all_segment] * all_share / all_effect
    all_before = np.r_[before[:t][first][one], before[t:]]
    none, before_expected = np.zeros(len(all_before)), shots[all_segment] * all_before / all_effect
    bins = (shots / effect)[:, None] * spectra[:, 1]
    gains = np.empty((len(grid), rows.segments))
    for at, prior in enumerate(grid):
        lift = (all_share * np.expm1(log_lift(all_count, all_expected, prior))
                - all_before * np.expm1(log_lift(none, before_expected, prior)))
        others = (spectra[:, 0] * np.expm1(log_lift(np.zeros(bins.shape), np.maximum(bins, 1e-300), prior))).sum(axis=1)
        log_partition = np.log1p(np.bincount(all_segment, lift, rows.segments) + others)
        told = np.bincount(segment, times * log_lift(left, np.maximum(left_expected, 1e-12), prior), rows.segments)
        gains[at] = told - shots * log_partition
    return gains


def tilt_items(rows: Rows, unseen: Rows, expected: np.ndarray, effect: np.ndarray, prior: ItemPrior) -> Values:
    """The offsets of the items that were taken or expected: all others are left to groups and text.

    Args:
        rows: with weights, a segment's items distinct.
        unseen: as in `item_gains`.
        expected: as in `item_gains`.
        effect: as in `item_gains`.
    """
    shots = np.bincount(rows.segment, rows.weight, rows.segments)
    segment, item = np.r_[rows.segment, unseen.segment], np.r_[rows.item, unseen.item]
    count = np.r_[rows.weight, np.zeros(len(unseen.item))]
    value = log_lift(count / effect[segment], shots[segment] * expected / effect[segment], prior)
    order = np.argsort(segment, kind="stable")
    return Values(segment[order], item[order], value[order], np.full(rows.segments, prior.a))
