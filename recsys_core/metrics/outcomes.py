"""Metrics of predicted probabilities: AUC per user and pooled, log-loss, calibration.

AUC says whether exposures are ordered well, log-loss and calibration whether the probabilities can be
believed. Pooled AUC also rewards knowing *who* buys; user AUC (UAUC) only *what* each user buys.
"""

from __future__ import annotations

import numpy as np

from recsys_core.errors import DataError


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Chance that a random positive outscores a random negative, ties counting half (Mann-Whitney U).

    Args:
        labels: [n] of 0/1.
        scores: float [n].

    Raises:
        DataError: NaN scores, or only one class (AUC is then undefined).

    >>> auc(np.array([1, 0, 1, 0]), np.array([.9, .5, .5, .1]))
    0.875
    """
    values, _ = user_aucs(labels, scores, np.zeros(len(labels), np.int64))
    if not len(values):
        raise DataError("AUC", "only one class among the labels", "leave this slice out or widen its window")
    return float(values[0])


def user_aucs(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The AUC of every user who has both a positive and a negative.

    Args:
        labels: [n] of 0/1.
        scores: float [n].
        users: int [n].

    Returns:
        values float64 [u], rows int64 [u] (exposures of that user), by ascending user.
    """
    labels, scores = np.asarray(labels, float), np.asarray(scores, float)
    if np.isnan(scores).any():
        raise DataError("AUC", f"row {np.isnan(scores).argmax()} has a NaN score",
                        "check the model that scored it")
    order = np.lexsort((scores, users))
    user, score, label = users[order], scores[order], labels[order]
    new_user = np.r_[True, user[1:] != user[:-1]][:len(user)]
    new_tie = new_user | np.r_[True, score[1:] != score[:-1]][:len(user)]
    starts, ties = np.flatnonzero(new_user), np.flatnonzero(new_tie)
    rows = np.diff(np.r_[starts, len(user)])
    # mean position of a tie group among its user's rows, counted from 1
    position = (ties + np.r_[ties[1:], len(user)] + 1) / 2
    rank = position[np.cumsum(new_tie) - 1] - np.repeat(starts, rows)
    group = np.cumsum(new_user) - 1
    positives = np.bincount(group, label, len(starts))
    rank_sum = np.bincount(group, rank * label, len(starts))
    both = (positives > 0) & (positives < rows)
    positives, rows = positives[both], rows[both]
    return (rank_sum[both] - positives * (positives + 1) / 2) / (positives * (rows - positives)), rows


def user_auc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> float:
    """UAUC: the mean of the users' AUCs.

    Raises:
        DataError: NaN scores, or no user with both classes.

    >>> exposures = np.array([1, 0, 1, 0, 0]), np.array([2, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1])
    >>> user_auc(*exposures)  # user 0 has 1, user 1 has 0
    0.5
    """
    values, _ = user_aucs(labels, scores, users)
    if not len(values):
        raise DataError("user AUC", "no user has both classes", "leave this slice out or widen its window")
    return float(values.mean())


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """−log of the probability given to what happened, per row: float64 [n].

    Probabilities are clipped to [1e-7, 1 − 1e-7], so that one certain mistake stays finite.

    Raises:
        DataError: probabilities that are NaN or outside [0, 1].
    """
    probabilities = np.asarray(probabilities, float)
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        raise DataError("probabilities", f"row {wrong.argmax()} has {probabilities[wrong.argmax()]}",
                        "pass probabilities in [0, 1], not logits")
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return -np.log(np.where(np.asarray(labels) > 0, clipped, 1 - clipped))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `log_losses`, in nats.

    >>> round(log_loss(np.array([1, 0]), np.array([.5, .25])), 4)  # (ln 2 + ln 4/3) / 2
    0.4904
    """
    return float(log_losses(labels, probabilities).mean())


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> np.ndarray:
    """What was predicted against what happened, in bins of equal mass: float64 [bins, 3].

    Rows with the same probability share their mean label, so their order cannot matter.

    Returns:
        columns mean probability, rate of positives, rows; at most n bins, by ascending probability.

    >>> reliability(np.array([0, 1, 1, 1]), np.array([.2, .2, .8, .9]), bins=2).round(2).tolist()
    [[0.2, 0.5, 2.0], [0.85, 1.0, 2.0]]
    """
    values, tie, sizes = np.unique(np.asarray(probabilities, float), return_inverse=True, return_counts=True)
    rates = np.repeat(np.bincount(tie, labels, len(values)) / sizes, sizes)
    edges = np.linspace(0, len(rates), min(bins, len(rates)) + 1).round().astype(int)
    mass = np.diff(edges)
    sums = [np.add.reduceat(column, edges[:-1]) for column in (np.repeat(values, sizes), rates)]
    return np.stack([sums[0] / mass, sums[1] / mass, mass], axis=1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal mass: Σ mass · |mean probability − rate| / n.

    >>> round(calibration_error(np.array([0, 1, 1, 1]), np.array([.2, .2, .8, .9]), bins=2), 4)
    0.225
    """
    table = reliability(labels, probabilities, bins)
    return float(np.average(np.abs(table[:, 0] - table[:, 1]), weights=table[:, 2]))
