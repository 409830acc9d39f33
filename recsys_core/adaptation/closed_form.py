"""The closed-form head: a segment's tilt of the base, solved instead of trained.

Model: p(i | history) ∝ exp(s_i + g_i + θ·v_i + o_i), with s the base's logits. Solved coarse to fine,
each stage on what the stages before it leave over, against the base's mean distribution q at the
shots (its popularity, where nothing better is known, as at request time):

1. Groups g: for every level of the category path and the brand, counts of the shots with a Dirichlet
   prior of weight m centred on q: g = log((c + m q) / ((K + m) q)).
2. Text θ: softmax regression on the vectors' leading principal components, ridge λ|θ|²/2, a few exact
   Newton steps. The data term grows with K and the penalty does not, so few shots stay near zero.
3. Items o: as groups, for the items among the shots; all others are left to groups and text.

Every m and λ is chosen by leaving one user's shots out; a stage that does not predict the left-out
shots better than its absence is dropped. With no stage left the adapter is the base.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.base_model.data import Catalogue

STAGES = ("groups", "text", "items")


class ClosedFormConfig(BaseModel, frozen=True, extra="forbid"):
    """Grids the leave-one-user-out choice runs over."""

    components: int = Field(64, ge=1, description="principal components of the vectors the tilt lives in")
    strengths: tuple[float, ...] = Field((1.0, 3.0, 10.0, 30.0, 100.0), description="λ of the text tilt")
    group_priors: tuple[float, ...] = Field((1.0, 4.0, 16.0, 64.0, 256.0), description="m of groups, in shots")
    item_priors: tuple[float, ...] = Field((30.0, 100.0, 300.0, 1000.0, 10000.0),
                                           description="m of single items, in shots")
    newton_steps: int = Field(6, ge=1)


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


@dataclass(frozen=True)
class Support:
    """K shots as the solver sees them: items int [K], users int [K], and the base's mean
    distribution at them, float64 [N]."""

    items: np.ndarray
    users: np.ndarray
    share: np.ndarray

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
    share, catalogue = support.share, prior.catalogue
    groups: dict[str, float] = {}
    theta = np.zeros(catalogue.vectors.shape[1], np.float32)
    chosen: dict[str, float | None] = {}
    for name, codes, labels in catalogue.groups:
        offsets, chosen[name] = _solve_groups(support, share, codes, len(labels), config)
        if offsets is not None:
            groups |= {f"{name}|{label}": float(o) for label, o in zip(labels, offsets, strict=True)}
            share = _tilt(share, np.where(codes >= 0, offsets[codes], 0.0))
    coefficients, chosen["text"] = _solve_text(prior, support, share, config)
    if coefficients is not None:
        theta = (prior.axes @ coefficients).astype(np.float32)
        share = _tilt(share, (prior.components @ coefficients)[catalogue.text_of_item])
    rows, values, chosen["items"] = _solve_items(support, share, config)
    settings = {"shots": len(support.items), "users": int(support.others[0].max(initial=-1)) + 1,
                "strength": chosen}
    return Adapter(segment, "closed_form", dict(prior.lock), theta, groups=groups, item_values=values,
                   item_ids=tuple(catalogue.item_ids[row] for row in rows), settings=settings)


def first_stages(adapter: Adapter, stages: tuple[str, ...]) -> Adapter:
    """The adapter cut short after some of its stages; later stages never change earlier ones."""
    kept: dict = {"settings": {**adapter.settings, "stages": list(stages)}}
    if "text" not in stages:
        kept["theta"] = np.zeros_like(adapter.theta)
    if "items" not in stages:
        kept |= {"item_ids": (), "item_values": np.zeros(0, np.float32)}
    return replace(adapter, **kept)


def _tilt(share: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    tilted = share * np.exp(offsets - offsets.max())
    return tilted / tilted.sum()


def _dirichlet(support: Support, members: np.ndarray, expected: np.ndarray,
               priors: tuple[float, ...]) -> float | None:
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
    best, best_gain = None, 1e-9
    for m in priors:
        gain = float(np.log((left + m * expected) / ((size + m) * expected)).sum())
        if gain > best_gain:
            best, best_gain = m, gain
    return best


def _solve_groups(support: Support, share: np.ndarray, codes: np.ndarray, n: int,
                  config: ClosedFormConfig) -> tuple[np.ndarray | None, float | None]:
    """Offsets float64 [n] of one level's groups, or None where no m pays."""
    code = codes[support.items]
    known = code >= 0
    if n < 2 or not known.any():
        return None, None
    mass = np.bincount(codes[codes >= 0], weights=share[codes >= 0], minlength=n) + 1e-12
    shots = Support(support.items[known], support.users[known], share)
    m = _dirichlet(shots, code[known], mass[code[known]] / mass.sum(), config.group_priors)
    if m is None:
        return None, None
    counts, q = np.bincount(code[known], minlength=n), mass / mass.sum()
    return np.log((counts + m * q) / ((known.sum() + m) * q)), m


def _solve_text(prior: Prior, support: Support, share: np.ndarray,
                config: ClosedFormConfig) -> tuple[np.ndarray | None, float | None]:
    """Coefficients float64 [r] of the text tilt, and its λ; None where no λ pays.

    The left-out likelihood uses one Newton step away from the full solution and the quadratic
    expansion of the log-partition there (approximate leave-one-out, Rad & Maleki 2020).
    """
    z, text_of_item = prior.components, prior.catalogue.text_of_item
    q = np.bincount(text_of_item, weights=share, minlength=len(z))
    # Texts the base all but excludes carry no mass; leaving them out changes nothing but the time.
    kept = q > 1e-7 * q.max()
    z_kept, q_kept = z[kept].astype(np.float64), q[kept] / q[kept].sum()
    shots = z[text_of_item[support.items]].astype(np.float64)
    user, _ = support.others
    n_users = int(user.max(initial=-1)) + 1
    best, best_gain, beta = (None, None), 1e-9, np.zeros(z.shape[1])
    if n_users < 2:
        return best
    held = np.zeros((n_users, z.shape[1]))
    np.add.at(held, user, shots)
    size = np.bincount(user, minlength=n_users)[:, None]
    for strength in sorted(config.strengths, reverse=True):  # each λ starts from the stronger one's solution
        for _ in range(config.newton_steps):
            log_z, mean, covariance = _moments(z_kept, q_kept, beta)
            gradient = shots.sum(axis=0) - len(shots) * mean - strength * beta
            hessian = len(shots) * covariance + strength * np.eye(len(beta))
            step = np.linalg.solve(hessian, gradient)
            beta = beta + step * min(1.0, 2.0 / (np.ptp(z_kept @ step) + 1e-12) if len(step) else 1.0)
            if np.abs(gradient).max() < 1e-3 * len(shots):
                break
        log_z, mean, covariance = _moments(z_kept, q_kept, beta)
        hessian = len(shots) * covariance + strength * np.eye(len(beta))
        delta = -np.linalg.solve(hessian, (held - size * mean).T).T
        partition = log_z + delta @ mean + 0.5 * ((delta @ covariance) * delta).sum(axis=1)
        gain = float(((beta + delta) * held).sum() - (size[:, 0] * partition).sum())
        if gain > best_gain:
            best, best_gain = (beta.copy(), strength), gain
    return best


def _moments(z: np.ndarray, q: np.ndarray, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-partition, mean and covariance of z under q tilted by beta."""
    logits = z @ beta
    top = logits.max()
    weights = q * np.exp(logits - top)
    total = weights.sum()
    weights /= total
    mean = weights @ z
    return float(top + np.log(total)), mean, (z * weights[:, None]).T @ z - np.outer(mean, mean)


def _solve_items(support: Support, share: np.ndarray,
                 config: ClosedFormConfig) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Rows int [m] and offsets float32 [m] of the shots' items; empty where no prior weight pays."""
    m = _dirichlet(support, support.items, share[support.items], config.item_priors)
    if m is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), None
    rows, counts = np.unique(support.items, return_counts=True)
    return rows, np.log1p(counts / (m * share[rows])).astype(np.float32), m
