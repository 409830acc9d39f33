"""Adapt one segment: solve the closed form on its shots, and trust it as far as the shots themselves vote for it.

How far (a scale of the offsets; 0 is the base itself) is chosen by leave-users-out cross-validation of the
full-catalogue log-likelihood of the shots. Likelihood is mostly made far below the top ten, so a scale that
wins there and moves the lists must also move them for the better. Nothing outside the support window is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import ClosedFormConfig, Prior, Support, adapt_closed_form
from recsys_core.adaptation.shots import ShotConfig, Shots
from recsys_core.base_model.ranker import Ranker
from recsys_core.evaluation.metrics import expected_ranks, metrics_from_ranks

log = logging.getLogger(__name__)

CHUNK = 64  # shots whose catalogue scores are held twice at a time


class AdaptationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments are adapted."""

    shots: ShotConfig = ShotConfig()
    closed_form: ClosedFormConfig = ClosedFormConfig()
    folds: int = Field(4, ge=2, description="user folds of the scale's cross-validation")
    scales: tuple[float, ...] = Field((0.5, 1.0), description="how far to trust the offsets")
    evidence: float = Field(2.0, ge=0, description="nats over all left-out shots that an adapter must gain to be "
                                                   "preferred to the base")
    list_evidence: float = Field(0.5, ge=0, description="standard errors by which the left-out shots' NDCG@10 must rise, "
                                                  "where the adapter moves their lists at all")


@dataclass(frozen=True)
class BaseView:
    """The base at K shots: probabilities float32 [K, N], its distribution over the catalogue, rows sum to 1."""

    probabilities: np.ndarray

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The mean distribution at some shots, float64 [N], all > 0."""
        mean = self.probabilities[rows].mean(axis=0, dtype=np.float64) + 1e-12
        return mean / mean.sum()

    def gains(self, rows: np.ndarray, items: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What offsets [N] add to the log-likelihood of the shots at `rows`: float64 [len(rows)].

        log p'(i) − log p(i) = o_i − log Σ_j p(j) exp(o_j): a matrix–vector product, no new softmax.
        """
        top = offsets.max()
        return offsets[items] - top - np.log(self.probabilities[rows] @ np.exp(offsets - top))

    def list_gains(self, rows: np.ndarray, items: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What offsets [N] add to the NDCG@10 of the shots at `rows`: float64 [len(rows)]."""
        indptr, base = np.arange(len(rows) + 1), self.probabilities[rows]
        before, after = (metrics_from_ranks(*expected_ranks(scores, indptr, items), indptr)["ndcg@10"]
                         for scores in (base, base * np.exp(offsets - offsets.max()).astype(np.float32)))
        return after - before


def view_base(ranker: Ranker, shots: Shots) -> BaseView:
    """Score the whole catalogue at every shot."""
    view = np.empty((len(shots), len(ranker.catalogue)), np.float32)
    for low in range(0, len(shots), CHUNK):
        block = view[low:low + CHUNK]
        block[:] = ranker.score(shots.queries.histories[low:low + CHUNK])
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
    return BaseView(view)


def split_users(users: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """int [K]: each shot's fold; a user's shots stay together."""
    _, user = np.unique(users, return_inverse=True)
    return (rng.permutation(user.max(initial=-1) + 1) % folds)[user]


def solve(prior: Prior, view: BaseView, shots: Shots, subsets: Mapping[str, np.ndarray], config: ClosedFormConfig
          ) -> dict[str, Adapter]:
    """The closed form of some subsets of the shots.

    Args:
        subsets: the adapter's name → positions of the shots it learns from.
    """
    return adapt_closed_form(prior, {name: Support(shots.items[rows], shots.users[rows], view.share(rows))
                                     for name, rows in subsets.items()}, config)


def choose_scale(prior: Prior, view: BaseView, shots: Shots, config: AdaptationConfig, rng: np.random.Generator
                 ) -> tuple[float, dict[str, float]]:
    """Cross-validate the closed form on the support set.

    Returns:
        how far to trust it (0: the base, where no scale gains `evidence` and passes `helps_lists`), and the mean
        held-out gain over the base in nats per shot of every scale.
    """
    fold, rows = split_users(shots.users, config.folds, rng), np.arange(len(shots))
    splits = [(rows[fold == held], rows[fold != held]) for held in range(config.folds)]
    splits = [(test, train) for test, train in splits if len(test) and len(train)]
    if not splits:
        return 0.0, {}
    tests, asked = [test for test, _ in splits], sum(len(test) for test, _ in splits)
    fitted = solve(prior, view, shots, {f"{at}": train for at, (_, train) in enumerate(splits)}, config.closed_form)
    offsets = [adapter.offsets(prior.catalogue).astype(np.float64) for adapter in fitted.values()]
    gains = {scale: float(sum(view.gains(test, shots.items[test], scale * own).sum()
                              for test, own in zip(tests, offsets, strict=True))) / asked for scale in config.scales}
    told = {f"{scale}": gain for scale, gain in gains.items()}
    for scale in sorted(gains, key=gains.get, reverse=True):
        if gains[scale] * asked <= config.evidence:
            break
        if helps_lists(view, shots, tests, [scale * own for own in offsets], config):
            return scale, told
    return 0.0, told


def helps_lists(view: BaseView, shots: Shots, tests: Sequence[np.ndarray], offsets: Sequence[np.ndarray],
                config: AdaptationConfig) -> bool:
    """Whether the left-out shots' NDCG@10 stays as it is, or rises by more than `list_evidence` standard errors over users.

    Args:
        tests: positions of each split's left-out shots. offsets: [N], each split's.
    """
    gains = np.concatenate([view.list_gains(test, shots.items[test], own) for test, own in zip(tests, offsets, strict=True)])
    if not gains.any():
        return True
    _, user = np.unique(shots.users[np.concatenate(tests)], return_inverse=True)
    of_user = np.bincount(user, gains)
    return len(of_user) > 1 and of_user.sum() > config.list_evidence * of_user.std(ddof=1) * np.sqrt(len(of_user))


def adapt_segment(prior: Prior, ranker: Ranker, segment: str, shots: Shots, config: AdaptationConfig,
                  rng: np.random.Generator, *, scale: float | None = None) -> Adapter | None:
    """Fit a segment's adapter from its shots.

    Args:
        prior: the base, prepared; ranker: the base's session model for the window (its twin).
        scale: chosen before; then nothing is cross-validated (the placebo, and the refit that ships).

    Returns:
        the adapter, or None: too few shots, or it does not beat the base on left-out users or help their lists.
    """
    if len(shots) < config.shots.min_shots:
        log.info("%s: %d shots, fewer than %d: no adapter", segment, len(shots), config.shots.min_shots)
        return None
    view, gains = view_base(ranker, shots), {}
    if scale is None:
        scale, gains = choose_scale(prior, view, shots, config, rng)
    log.info("%s: %d shots → scale %.2g", segment, len(shots), scale)
    if scale == 0:
        return None
    adapter = solve(prior, view, shots, {segment: np.arange(len(shots))}, config.closed_form)[segment]
    return scaled(adapter, scale, {"cv_gain_nats": {name: round(gain, 4) for name, gain in gains.items()}})


def scaled(adapter: Adapter, scale: float, settings: dict) -> Adapter:
    """The adapter with its offsets multiplied by `scale`, and what was learned about it noted."""
    return replace(adapter, theta=(scale * adapter.theta).astype(np.float32),
                   groups={key: scale * value for key, value in adapter.groups.items()},
                   item_values=(scale * adapter.item_values).astype(np.float32),
                   settings={**adapter.settings, **settings, "scale": scale})
