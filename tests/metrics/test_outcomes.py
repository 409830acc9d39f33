"""Outcome metrics against scikit-learn and hand-computed values."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from recsys_core.errors import DataError
from recsys_core.metrics.outcomes import (
    auc,
    calibration_error,
    log_loss,
    log_losses,
    reliability,
    user_auc,
    user_aucs,
)

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 2, 400)
SCORES = RNG.integers(0, 12, 400) / 11 * 0.9 + 0.05  # many ties
USERS = RNG.integers(0, 40, 400)


def test_pooled_auc_agrees_with_scikit_learn():
    assert auc(LABELS, SCORES) == pytest.approx(sk.roc_auc_score(LABELS, SCORES))


def test_user_auc_is_the_mean_of_single_users():
    single = []
    for user in np.unique(USERS):
        mine = user == USERS
        if 0 < LABELS[mine].sum() < mine.sum():
            single.append(sk.roc_auc_score(LABELS[mine], SCORES[mine]))
    assert user_aucs(LABELS, SCORES, USERS)[0] == pytest.approx(single)
    assert user_auc(LABELS, SCORES, USERS) == pytest.approx(np.mean(single))


def test_knowing_who_buys_lifts_pooled_auc_and_leaves_user_auc_at_chance():
    users = np.repeat([0, 1], 50)
    labels = np.r_[np.arange(50) < 40, np.arange(50) < 10].astype(int)
    like_ratio = np.where(users == 0, 0.8, 0.2)
    assert auc(labels, like_ratio) == pytest.approx(0.8)
    assert user_auc(labels, like_ratio, users) == 0.5


@pytest.mark.parametrize("measure", [lambda y, s: auc(y, s), lambda y, s: user_auc(y, s, np.arange(len(y)))])
def test_one_class_has_no_auc(measure):
    with pytest.raises(DataError, match="class"):
        measure(np.ones(3), np.arange(3.0))


def test_nan_scores_are_refused():
    with pytest.raises(DataError, match="row 1"):
        auc(np.array([0, 1]), np.array([0.5, np.nan]))


def test_log_loss_agrees_with_scikit_learn_and_stays_finite():
    assert log_loss(LABELS, SCORES) == pytest.approx(sk.log_loss(LABELS, SCORES))
    assert log_losses(np.array([1]), np.array([0.0]))[0] == pytest.approx(-math.log(1e-7))
    for wrong in (1.2, -0.1, np.nan):
        with pytest.raises(DataError, match="probabilities"):
            log_loss(np.array([1]), np.array([wrong]))


def test_calibrated_probabilities_have_no_calibration_error():
    labels, halves = np.array([1, 0] * 50), np.full(100, 0.5)
    assert calibration_error(labels, halves) == 0
    assert calibration_error(labels, halves + 0.2) == pytest.approx(0.2)


def test_reliability_does_not_depend_on_the_order_of_rows():
    shuffled = RNG.permutation(len(LABELS))
    table = reliability(LABELS, SCORES)
    assert table == pytest.approx(reliability(LABELS[shuffled], SCORES[shuffled]))
    assert table[:, 2].tolist() == [40] * 10 and table[:, 1] @ table[:, 2] == pytest.approx(LABELS.sum())
    assert (np.diff(table[:, 0]) >= 0).all()
    assert len(reliability(np.array([1, 0]), np.array([0.1, 0.9]))) == 2
