"""The text tilt: softmax regression of a few shots on the text components, its strength chosen by leaving users out.

Two solvers of one problem, maximise Σ β·z_shot − K log Σ_t q_t exp(β·z_t) − λ|β|²/2. `solve_exactly` runs
Newton to the end on every text. `solve_on_cells` is for requests: one step, on the cells' means, with
the Hessian's diagonal (the components are uncorrelated under the base's popularity), all λ at once.

A left-out user's likelihood takes one Newton step away from the full solution and the quadratic
expansion of the log-partition there (approximate leave-one-out, Rad & Maleki 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEGLIGIBLE = 1e-7  # share, relative to the largest, below which a text only costs time


@dataclass(frozen=True)
class Tilt:
    """coefficients: float64 [r] of the text components; log_partition: log Σ_t q_t exp(β·z_t); strength: its λ."""

    coefficients: np.ndarray
    log_partition: float
    strength: float


def solve_exactly(z: np.ndarray, q: np.ndarray, shots: np.ndarray, user: np.ndarray,
                  strengths: tuple[float, ...], evidence: float, newton_steps: int) -> Tilt | None:
    """The tilt that best predicts left-out users, or None where none gains more than `evidence` (nats over all).

    Args:
        z: float [M, r], the texts. q: float64 [M], their share. shots: float [K, r]. user: int [K], from 0.
    """
    kept = q > NEGLIGIBLE * q.max()
    z, q, shots = z[kept].astype(np.float64), q[kept] / q[kept].sum(), shots.astype(np.float64)
    held, size = _by_user(shots, user)
    if len(held) < 2:
        return None
    best, best_gain, beta = None, evidence, np.zeros(z.shape[1])
    for strength in sorted(strengths, reverse=True):  # each λ starts from the stronger one's solution
        for _ in range(newton_steps):
            _, mean, covariance = _moments(z, q, beta)
            gradient = shots.sum(axis=0) - len(shots) * mean - strength * beta
            step = np.linalg.solve(len(shots) * covariance + strength * np.eye(len(beta)), gradient)
            beta = beta + step * min(1.0, 2.0 / (np.ptp(z @ step) + 1e-12))
            if np.abs(gradient).max() < 1e-3 * len(shots):
                break
        log_z, mean, covariance = _moments(z, q, beta)
        hessian = len(shots) * covariance + strength * np.eye(len(beta))
        delta = -np.linalg.solve(hessian, (held - size * mean).T).T
        partition = log_z + delta @ mean + 0.5 * ((delta @ covariance) * delta).sum(axis=1)
        gain = float(((beta + delta) * held).sum() - (size[:, 0] * partition).sum())
        if gain > best_gain:
            best, best_gain = Tilt(beta.copy(), log_z, strength), gain
    return best


def solve_on_cells(moments: np.ndarray, q: np.ndarray, shots: np.ndarray, user: np.ndarray,
                   strengths: tuple[float, ...], evidence: float) -> Tilt | None:
    """The same in one diagonal Newton step for every λ at once; see `solve_exactly`.

    Args:
        moments: float32 [U, 2r], each cell's means of z and of z². q: float64 [U], the cells' share.
    """
    r = shots.shape[1]
    held, size = _by_user(shots, user)
    if len(held) < 2:
        return None
    k, total = len(shots), held.sum(axis=0)
    ridge = np.array(strengths)[:, None]
    mean, variance = _spread(q.astype(np.float32) @ moments, r)
    beta = (total - k * mean) / (k * variance + ridge)                     # [S, r]
    logits = moments[:, :r] @ beta.T.astype(np.float32)                    # [U, S]
    top = logits.max(axis=0)
    weights = q.astype(np.float32)[:, None] * np.exp(logits - top)
    mass = weights.sum(axis=0)
    log_z = (top + np.log(mass)).astype(np.float64)
    mean, variance = _spread((weights / mass).T @ moments, r)              # [S, r] each
    hessian = k * variance + ridge
    gradient = total - k * mean - ridge * beta
    delta = (gradient[:, None] - held + size * mean[:, None]) / hessian[:, None]  # [S, users, r]
    partition = log_z[:, None] + (delta * mean[:, None] + 0.5 * delta**2 * variance[:, None]).sum(axis=2)
    gains = ((beta[:, None] + delta) * held).sum(axis=(1, 2)) - (size[:, 0] * partition).sum(axis=1)
    best = int(gains.argmax())
    return Tilt(beta[best], float(log_z[best]), float(strengths[best])) if gains[best] > evidence else None


def _by_user(shots: np.ndarray, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per user the sum of their shots, float64 [users, r], and their number [users, 1]."""
    held = np.zeros((int(user.max(initial=-1)) + 1, shots.shape[1]))
    np.add.at(held, user, shots)
    return held, np.bincount(user, minlength=len(held))[:, None]


def _spread(moments: np.ndarray, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance from the means of z and z² side by side."""
    mean, square = moments[..., :r].astype(np.float64), moments[..., r:].astype(np.float64)
    return mean, np.maximum(square - mean**2, 0.0)


def _moments(z: np.ndarray, q: np.ndarray, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-partition, mean and covariance of z under q tilted by beta."""
    logits = z @ beta
    top = logits.max()
    weights = q * np.exp(logits - top)
    total = weights.sum()
    weights /= total
    mean = weights @ z
    return float(top + np.log(total)), mean, (z * weights[:, None]).T @ z - np.outer(mean, mean)
