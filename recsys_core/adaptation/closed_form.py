"""The closed-form head: a segment's tilt of the base, solved instead of trained.

Model: p(i | history) ∝ exp(s_i + g_i + θ·v_i + o_i), with s the base's logits. Solved coarse to fine,
each stage on what the stages before it leave over, against the base's mean distribution q at the
shots (its popularity, where nothing better is known, as at request time):

1. Groups g: for every level of the category path and the brand, counts of the shots with a Dirichlet
   prior of weight m centred on q: g = log((c + m q) / ((K + m) q)).
2. Text θ: softmax regression on the vectors' leading principal components, ridge λ|θ|²/2 (`tilt`). The
   data term grows with K and the penalty does not, so few shots stay near zero.
3. Items o: as groups, for the items among the shots; all others are left to groups and text.

Every m and λ is chosen by leaving one user's shots out; a stage that does not clearly predict the left-out
shots better than its absence is dropped. With no stage left the adapter is the base.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.cells import Cells, make_cells
from recsys_core.adaptation.tilt import Tilt, solve_exactly, solve_on_cells
from recsys_core.base_model.data import Catalogue

STAGES = ("groups", "text", "items")


class ClosedFormConfig(BaseModel, frozen=True, extra="forbid"):
    """Grids the leave-one-user-out choice runs over."""

    components: int = Field(64, ge=1, description="principal components of the vectors the tilt lives in")
    strengths: tuple[float, ...] = Field((1.0, 3.0, 10.0, 30.0, 100.0), description="λ of the text tilt")
    group_priors: tuple[float, ...] = Field((4.0, 16.0, 64.0, 256.0), description="m of groups, in shots")
    item_priors: tuple[float, ...] = Field((30.0, 100.0, 300.0, 1000.0, 10000.0),
                                           description="m of single items, in shots")
    newton_steps: int = Field(6, ge=1)
    evidence: float = Field(2.0, ge=0, description="nats a stage must gain over all left-out shots: few shots "
                                                   "agree by chance, and then saying nothing costs nothing")


@dataclass(frozen=True)
class Prior:
    """What the closed form needs to know of a base, prepared once.

    Args:
        catalogue: the base's items. item_share: float64 [N], the base's popularity, sums to 1, > 0.
        components: float32 [M, r], the texts' vectors on the leading principal components.
        axes: float32 [d, r], the components' directions. lock: the base's hashes.
    """

    catalogue: Catalogue
    item_share: np.ndarray
    components: np.ndarray
    axes: np.ndarray
    lock: dict[str, str]

    @cached_property
    def cells(self) -> Cells:
        """The catalogue in cells; made by the first adaptation."""
        return make_cells(self.catalogue, self.item_share, self.components)


@dataclass(frozen=True)
class Support:
    """K shots as the solver sees them.

    Args:
        items, users: int [K]. share: float64 [N], the base's mean distribution at the shots, > 0; None
            at request time: its popularity, for which everything is prepared.
    """

    items: np.ndarray
    users: np.ndarray
    share: np.ndarray | None = None

    @cached_property
    def others(self) -> tuple[np.ndarray, np.ndarray]:
        """(group of each shot's user [K], shots of that user [K])."""
        _, group, count = np.unique(self.users, return_inverse=True, return_counts=True)
        return group, count[group]


def prepare(catalogue: Catalogue, counts: np.ndarray, lock: dict[str, str], components: int = 64) -> Prior:
    """Find the principal components of the text vectors under the base's popularity.

    Args:
        counts: float [N], how often each item was taken in the base's training rows; smoothed by
            half an event each so that unseen items keep a share.
    """
    share = (np.asarray(counts, np.float64) + 0.5) / (np.sum(counts) + 0.5 * len(counts))
    weights = np.bincount(catalogue.text_of_item, weights=share, minlength=len(catalogue.vectors))
    vectors = catalogue.vectors.astype(np.float64)
    mean = weights @ vectors
    covariance = (vectors * weights[:, None]).T @ vectors - np.outer(mean, mean)
    _, basis = np.linalg.eigh(covariance)
    axes = np.ascontiguousarray(basis[:, ::-1][:, :components]).astype(np.float32)
    return Prior(catalogue, share, catalogue.vectors @ axes, axes, lock)


def adapt_closed_form(prior: Prior, segment: str, support: Support, config: ClosedFormConfig) -> Adapter:
    """Solve a segment's adapter from its shots, all stages: milliseconds, no learning rate."""
    share = prior.item_share if support.share is None else support.share
    groups, factor, chosen = _tilt_groups(prior, support, config)
    tilt = _tilt_text(prior, support, factor, config)
    cells, text_of_item = prior.cells, prior.catalogue.text_of_item
    expected = share[support.items] * factor[cells.of_item[support.items]]
    theta = np.zeros(prior.catalogue.vectors.shape[1], np.float32)
    if tilt is not None:
        theta = (prior.axes @ tilt.coefficients).astype(np.float32)
        expected *= np.exp(prior.components[text_of_item[support.items]] @ tilt.coefficients - tilt.log_partition)
    rows, values, item_prior = _solve_items(support, expected, config)
    chosen |= {"text": tilt.strength if tilt else None, "items": item_prior}
    settings = {"shots": len(support.items), "users": int(support.others[0].max(initial=-1)) + 1,
                "strength": chosen}
    return Adapter(segment, "closed_form", dict(prior.lock), theta, groups=groups, item_values=values,
                   item_ids=tuple(prior.catalogue.item_ids[row] for row in rows), settings=settings)


def first_stages(adapter: Adapter, stages: tuple[str, ...]) -> Adapter:
    """The adapter cut short after some of its stages; later stages never change earlier ones."""
    kept: dict = {"settings": {**adapter.settings, "stages": list(stages)}}
    if "text" not in stages:
        kept["theta"] = np.zeros_like(adapter.theta)
    if "items" not in stages:
        kept |= {"item_ids": (), "item_values": np.zeros(0, np.float32)}
    return replace(adapter, **kept)


def _tilt_groups(prior: Prior, support: Support, config: ClosedFormConfig
                 ) -> tuple[dict[str, float], np.ndarray, dict[str, float | None]]:
    """Solve level after level, each on what is left over by those before it.

    Returns:
        the adapter's groups (a level's own name stands for its groups without shots), the factor float64
        [U] by which the levels together multiply each cell's share, and every level's m.
    """
    cells = prior.cells
    before = cells.share if support.share is None else np.bincount(cells.of_item, support.share, len(cells.share))
    share, of_shot = before, cells.of_item[support.items]
    groups: dict[str, float] = {}
    chosen: dict[str, float | None] = {}
    for (name, _, labels), codes in zip(prior.catalogue.groups, cells.codes, strict=True):
        mass = np.bincount(codes + 1, share, len(labels) + 1)[1:] + 1e-12
        seen, values, rest, chosen[name] = _solve_groups(support, codes[of_shot], mass / mass.sum(), config)
        if chosen[name] is not None:
            groups |= {name: rest, **{f"{name}|{labels[code]}": float(o) for code, o in zip(seen, values, strict=True)}}
            offsets = np.full(len(labels) + 1, rest)
            offsets[0], offsets[seen + 1] = 0.0, values
            share = share * np.exp(offsets)[codes + 1]
            share /= share.sum()
    return groups, share / before, chosen


def _tilt_text(prior: Prior, support: Support, factor: np.ndarray, config: ClosedFormConfig) -> Tilt | None:
    """The text stage after groups multiplied the cells by `factor`."""
    cells, text_of_item = prior.cells, prior.catalogue.text_of_item
    shots, (user, _) = prior.components[text_of_item[support.items]], support.others
    if support.share is None:
        return solve_on_cells(cells.moments, cells.share * factor, shots, user, config.strengths, config.evidence)
    q = np.bincount(text_of_item, support.share * factor[cells.of_item], len(prior.components))
    return solve_exactly(prior.components, q, shots, user, config.strengths, config.evidence, config.newton_steps)


def _dirichlet(support: Support, members: np.ndarray, expected: np.ndarray,
               priors: tuple[float, ...], evidence: float) -> float | None:
    """The prior weight m under which the other users' shots best predict each user's, or None.

    Args:
        members: int [K], the group (or item) of each shot. expected: float64 [K], its share under q.
    """
    _, same = np.unique(members, return_inverse=True)
    user, of_user = support.others
    total = np.bincount(same)[same]
    own_key = user * (same.max(initial=0) + 1) + same
    _, own_of, own_count = np.unique(own_key, return_inverse=True, return_counts=True)
    left, size = total - own_count[own_of], len(members) - of_user
    m = np.array(priors)[:, None]
    gains = np.log((left + m * expected) / ((size + m) * expected)).sum(axis=1)
    best = int(gains.argmax())
    return priors[best] if gains[best] > evidence else None


def _solve_groups(support: Support, code: np.ndarray, q: np.ndarray, config: ClosedFormConfig
                  ) -> tuple[np.ndarray, np.ndarray, float, float | None]:
    """One level: its groups with shots int [g], their offsets float64 [g], the others' offset, and m (None: no gain).

    Args:
        code: int [K], the group of each shot, −1 for none. q: float64 [groups], sums to 1.
    """
    known = code >= 0
    shots, code = Support(support.items[known], support.users[known]), code[known]
    m = _dirichlet(shots, code, q[code], config.group_priors, config.evidence) if len(code) else None
    if m is None:
        return np.zeros(0, np.int64), np.zeros(0), 0.0, None
    seen, counts = np.unique(code, return_counts=True)
    return seen, np.log((counts + m * q[seen]) / ((len(code) + m) * q[seen])), float(np.log(m / (len(code) + m))), m


def _solve_items(support: Support, expected: np.ndarray,
                 config: ClosedFormConfig) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Rows int [m] and offsets float32 [m] of the shots' items; empty where no prior weight pays.

    Args:
        expected: float64 [K], the share of each shot's item after the stages before.
    """
    m = _dirichlet(support, support.items, expected, config.item_priors, config.evidence)
    if m is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), None
    rows, first, counts = np.unique(support.items, return_index=True, return_counts=True)
    return rows, np.log1p(counts / (m * expected[first])).astype(np.float32), m
