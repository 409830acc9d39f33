"""The text tilt: softmax regression of a few shots on the text components, its strength chosen by leaving users out.

Maximises Σ β·z_shot − K log Σ_t q_t exp(β·z_t) − λ|β|²/2 for many segments and every λ at once, on the
catalogue's cells, in one Newton step. The components are uncorrelated under the base's popularity, so it takes
the Hessian's diagonal; further steps, or all of it, rank no better (docs/experiments.md). A left-out user's
likelihood takes one Newton step away from the full solution and the quadratic expansion of the log-partition
there (approximate leave-one-out, Rad & Maleki 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LARGEST_CHANGE = 1.0  # standard deviation of β·z over the cells: beyond it the quadratic model means nothing


@dataclass(frozen=True)
class Tilts:
    """One tilt per segment: coefficients float64 [S, r] (0 where none pays), log_partition [S], strength [S] (NaN: none)."""

    coefficients: np.ndarray
    log_partition: np.ndarray
    strength: np.ndarray


def solve_tilts(moments: np.ndarray, q: np.ndarray, shots: np.ndarray, segment: np.ndarray, user: np.ndarray,
                strengths: tuple[float, ...], evidence: float) -> Tilts:
    """The tilts that best predict left-out users; none where the best gains no more than `evidence` nats over all shots.

    Args:
        moments: float32 [U, 2r], each cell's means of z and of z².
        q: float32 [S, U], the cells' share per segment, rows sum to 1.
        shots: float32 [T, r].
        segment: int [T] in [0, S).
        user: int [T] in [0, users); a user belongs to one segment.
    """
    held, ridge = _Held(shots, segment, user, len(q)), np.array(strengths)
    step = _step(moments, q, held.sum, held.size, ridge)
    gains = held.likelihood(*step)
    best = np.where(held.users > 1, gains.argmax(axis=1), -1)
    rows = np.arange(len(q))
    kept = (best >= 0) & (gains[rows, best] > evidence)
    return Tilts(np.where(kept[:, None], step.beta[rows, best], 0.0), np.where(kept, step.log_z[rows, best], 0.0),
                 np.where(kept, ridge[best], np.nan))


def tilt_gains(moments: np.ndarray, q: np.ndarray, shots: np.ndarray, segment: np.ndarray, user: np.ndarray,
               strengths: np.ndarray) -> np.ndarray:
    """What each strength gains on left-out users in nats over all shots, float64 [S, L]; 0 for a segment of one user.

    Args:
        moments: as in `solve_tilts`.
        q: as in `solve_tilts`.
        shots: as in `solve_tilts`.
        segment: as in `solve_tilts`.
        user: as in `solve_tilts`.
        strengths: float64 [S, L].
    """
    held = _Held(shots, segment, user, len(q))
    step = _step(moments, q, held.sum, held.size, strengths)
    return np.where(held.users[:, None] > 1, held.likelihood(*step), 0.0)


def fixed_tilts(moments: np.ndarray, q: np.ndarray, total: np.ndarray, size: np.ndarray, strength: np.ndarray) -> Tilts:
    """The tilts of a given strength per segment, float64 [S].

    Args:
        moments: as in `solve_tilts`.
        q: as in `solve_tilts`.
        total: float64 [S, r], sum of the shots' z.
        size: float64 [S], number of shots.
    """
    step = _step(moments, q, total, size, strength[:, None])
    return Tilts(step.beta[:, 0], step.log_z[:, 0], strength)


class _Step(NamedTuple):
    """One Newton step from β = 0 for S segments and L strengths: β, log-partition, mean and variance of z under the
    tilt, and there the gradient and the Hessian's diagonal; [S, L, r], log_z [S, L]."""

    beta: np.ndarray
    log_z: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def _step(moments: np.ndarray, q: np.ndarray, total: np.ndarray, size: np.ndarray, ridge: np.ndarray) -> _Step:
    total, k, ridge = total[:, None], size[:, None, None], ridge[..., None]  # [S, 1, r], [S, 1, 1], [L, 1] or [S, L, 1]
    mean, variance = (x[:, None] for x in _spread(q @ moments, total.shape[2]))
    step = (total - k * mean) / (k * variance + ridge)
    spread = np.sqrt((step**2 * variance).sum(axis=2, keepdims=True))
    beta = step * np.minimum(1.0, LARGEST_CHANGE / (spread + 1e-12))
    log_z, mean, variance = _tilted(q, moments, beta)
    return _Step(beta, log_z, mean, variance, total - k * mean - ridge * beta, k * variance + ridge)


def _tilted(q: np.ndarray, moments: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-partition [S, L], mean and variance [S, L, r] of z under q tilted by beta [S, L, r]."""
    segments, strengths, r = beta.shape
    logits = beta.reshape(-1, r).astype(np.float32) @ moments[:, :r].T
    top = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - top, out=logits).reshape(segments, strengths, -1)
    weights *= q[:, None]
    mass = weights.sum(axis=2)
    mean, variance = _spread((weights.reshape(len(logits), -1) @ moments).reshape(segments, strengths, -1)
                             / mass[:, :, None], r)
    return top.reshape(segments, strengths) + np.log(mass.astype(np.float64)), mean, variance


def _spread(moments: np.ndarray, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance from the means of z and z² side by side."""
    mean, square = moments[..., :r].astype(np.float64), moments[..., r:].astype(np.float64)
    return mean, np.maximum(square - mean**2, 0.0)


class _Held:
    """Each segment's sums over its users of h (the sum of a user's shots) and n (their number), as the left-out
    likelihood needs them: no user is ever looked at twice."""

    def __init__(self, shots: np.ndarray, segment: np.ndarray, user: np.ndarray, segments: int) -> None:
        order = np.argsort(user, kind="stable")
        h, n, of_user = _sum_runs(shots[order].astype(np.float64), user[order])
        of_user = segment[order][of_user]
        present, first = np.unique(of_user, return_index=True)

        def per_segment(values: np.ndarray) -> np.ndarray:
            out = np.zeros((segments, values.shape[1]))
            out[present] = np.add.reduceat(values, first, axis=0)
            return out

        self.users = np.bincount(of_user, minlength=segments)
        self.size, n2, n3 = per_segment(n[:, None] ** np.arange(1, 4)).T
        self._n = n2[:, None, None], n3[:, None, None]
        n = n[:, None]
        self.sum = per_segment(h)
        self._h2, self._nh, self._nh2, self._n2h = (
            per_segment(values)[:, None] for values in (h**2, n * h, n * h**2, n**2 * h))

    def likelihood(self, beta: np.ndarray, log_z: np.ndarray, mean: np.ndarray, variance: np.ndarray,
                   gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
        """Gain in nats over all shots, each user's predicted without it: float64 [S, L].

        Σ_u (β + δ_u)·h_u − n_u (log Z + δ_u·μ + ½ δ_u²·v) with δ_u = (g + n_u μ − h_u) / H, multiplied out.
        """
        (n2, n3), n, h = self._n, self.size[:, None, None], self.sum[:, None]
        delta_h = (gradient * h + mean * self._nh - self._h2) / hessian
        delta_n = (gradient * n + mean * n2 - self._nh) / hessian
        delta2_n = (gradient**2 * n + mean**2 * n3 + self._nh2 + 2 * gradient * mean * n2
                    - 2 * gradient * self._nh - 2 * mean * self._n2h) / hessian**2
        per_part = beta * h + delta_h - mean * delta_n - 0.5 * variance * delta2_n
        return per_part.sum(axis=2) - self.size[:, None] * log_z


def _sum_runs(rows: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of rows with equal keys (sorted), how many there are, and where each run starts."""
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    return np.add.reduceat(rows, starts, axis=0), np.diff(np.r_[starts, len(key)]).astype(np.float64), starts
