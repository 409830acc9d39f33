"""Intervals that cover what they should, stay wide where little is known, and count users, not rows."""

import math

import numpy as np
import pytest

from recsys_core.errors import DataError
from recsys_core.metrics.bootstrap import Interval, holm, minimum_detectable_effect, paired_bootstrap


def draw(mean: float, clusters: int, per_cluster: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that share most of their noise within a cluster."""
    users = np.repeat(np.arange(clusters), per_cluster)
    return mean + rng.normal(size=clusters)[users] + 0.3 * rng.normal(size=len(users)), users


@pytest.mark.parametrize("clusters", [4, 12, 60])
def test_intervals_cover_the_true_mean_at_about_their_level(clusters):
    rng = np.random.default_rng(clusters)
    covered = 0
    for _ in range(300):
        found = paired_bootstrap(*draw(0.3, clusters, 5, rng), rng, repeats=400)
        covered += found.low <= 0.3 <= found.high
    assert 0.91 <= covered / 300 <= 0.99


def test_without_an_effect_few_p_values_are_small():
    rng = np.random.default_rng(1)
    p = np.array([paired_bootstrap(*draw(0.0, 20, 5, rng), rng, repeats=400).p_value for _ in range(400)])
    assert 0.02 <= (p <= 0.05).mean() <= 0.09


def test_rows_of_one_user_are_not_independent_evidence():
    differences, users = draw(0.2, 30, 50, np.random.default_rng(2))
    by_user = paired_bootstrap(differences, users, np.random.default_rng(0))
    by_row = paired_bootstrap(differences, np.arange(len(users)), np.random.default_rng(0))
    assert by_user.high - by_user.low > 4 * (by_row.high - by_row.low)
    assert by_user.mean == pytest.approx(by_row.mean) and by_user.clusters == 30 and by_user.n == 1500


def test_one_cluster_is_never_certain_and_two_hardly():
    one = paired_bootstrap(np.full(50, 0.9), np.zeros(50), np.random.default_rng(0))
    assert (one.low, one.high, one.p_value) == (-math.inf, math.inf, 1.0)
    two = paired_bootstrap(np.array([0.1, 0.2]), np.array([0, 1]), np.random.default_rng(0))
    assert two.low < 0 and two.p_value >= 0.25
    assert paired_bootstrap(np.ones(4), np.arange(4), np.random.default_rng(0)).p_value >= 1 / 16


def test_a_clear_effect_survives_a_correction_over_hundreds_of_segments():
    rng = np.random.default_rng(3)
    p = paired_bootstrap(*draw(0.8, 100, 3, rng), rng).p_value
    assert 0 < 500 * p < 0.01


def test_planted_effects_are_found_and_their_absence_is_not():
    rng = np.random.default_rng(4)
    assert paired_bootstrap(*draw(1.0, 100, 3, rng), rng).low > 0
    nothing = paired_bootstrap(np.zeros(100), np.arange(100), rng)
    assert (nothing.mean, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1)
    assert paired_bootstrap(*draw(-1.0, 100, 3, rng), rng).high < 0


def test_the_mean_is_over_rows_when_clusters_differ_in_size():
    found = paired_bootstrap(np.array([1.0, 0.0, 0.0, 0.0]), np.array(["b", "a", "a", "a"]),
                             np.random.default_rng(0))
    assert found.mean == 0.25


def test_the_same_seed_gives_the_same_interval():
    rows = draw(0.1, 50, 4, np.random.default_rng(0))
    assert paired_bootstrap(*rows, np.random.default_rng(9)) == paired_bootstrap(*rows, np.random.default_rng(9))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_values_without_a_mean_are_refused(values):
    with pytest.raises(DataError, match="bootstrap"):
        paired_bootstrap(np.array(values), np.arange(len(values)), np.random.default_rng(0))


def test_intervals_survive_json():
    for found in (Interval(0.1, -math.inf, math.inf, 1.0, 3, 1), Interval(0.1, 0.0, 0.2, 0.02, 30, 10)):
        assert Interval.from_json(found.to_json()) == found
    assert Interval(0.1, -math.inf, math.inf, 1.0, 3, 1).to_json()["low"] is None


def test_holm_rejects_what_the_step_down_procedure_rejects():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = dict(zip("abcdef", rng.random(6) * 0.05, strict=True))
        rejected = set()
        for rank, name in enumerate(sorted(p, key=p.get)):
            if p[name] > 0.05 / (6 - rank):
                break
            rejected.add(name)
        adjusted = holm(p)
        assert {name for name, value in adjusted.items() if value <= 0.05} == rejected
        assert list(adjusted) == list(p)
    assert holm({}) == {} and holm({"only": 0.04}) == {"only": 0.04} and holm({"a": 0.9, "b": 0.8})["a"] == 1
    with pytest.raises(DataError, match="p-value of a"):
        holm({"a": math.nan})


def test_the_minimum_detectable_effect_is_found_four_times_in_five():
    rng = np.random.default_rng(7)
    sized = minimum_detectable_effect(*draw(0.0, 40, 5, rng))
    found = sum(paired_bootstrap(*draw(sized, 40, 5, rng), rng, repeats=300).low > 0 for _ in range(200))
    assert 0.6 <= found / 200 <= 0.95
    assert minimum_detectable_effect(np.ones(4), np.zeros(4)) == math.inf
    # 100 rows of ±1: standard error √(100/99)/10, times t99(.975) + t99(.8)
    assert minimum_detectable_effect(np.array([1.0, -1.0] * 50), np.arange(100)) == pytest.approx(0.2844, abs=1e-4)
