"""Planted distributions: the same one never drifts, a shifted one always does, and too few answers say nothing."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.monitoring.drift import DriftConfig, drift, drifting, ks, ks_p_value, psi
from recsys_core.monitoring.profile import ALL, FEATURES, Reference, add_answer, empty_counts, quantile_edges

NAMES = ["all", "base", "deli"]


def drawn(n: int, shift: dict[str, float] | None = None, seed: int = 0, fallback: float = 0.1, edges=None):
    """Counts of n answers, half of them deli's; a shift moves one segment's scores."""
    rng = np.random.default_rng(seed)
    edges = edges or {name: quantile_edges(rng.normal(size=4000)) for name in FEATURES}
    reference = Reference("tiny", edges, NAMES, {})
    counts = empty_counts(reference)
    for row in range(n):
        segment = NAMES[1 + row % 2]
        numbers = {name: float(rng.normal()) for name in FEATURES}
        numbers["top_score"] += (shift or {}).get(segment, 0.0)
        add_answer(counts, reference, segment, numbers, bool(rng.random() < fallback))
    return replace(reference, counts=counts), counts


def test_no_drift_is_small_and_never_told():
    reference, _ = drawn(4000)
    for seed in range(5):
        found = drift(reference, drawn(1500, seed=1 + seed, edges=reference.edges)[1], DriftConfig())
        assert drifting(found) == [] and max(one.psi for one in found) < 0.05
    assert min(one.p_value for one in found if one.p_value is not None) > 0.001


def test_a_shift_is_found_in_its_segment_and_feature_alone():
    reference, _ = drawn(4000)
    found = drift(reference, drawn(3000, {"deli": 1.5}, seed=9, edges=reference.edges)[1], DriftConfig())
    assert {(one.segment, one.feature) for one in found if one.drifted} >= {("deli", "top_score")}
    assert all(one.feature == "top_score" and one.segment != "base" for one in found if one.drifted)
    shifted = next(one for one in found if (one.segment, one.feature) == ("deli", "top_score"))
    assert shifted.psi > 1 and shifted.ks > 0.4 and shifted.p_value < 1e-10
    assert "deli" in drifting(found) and found[0].segment == ALL


def test_shares_drift_too():
    reference, _ = drawn(4000)
    found = drift(reference, drawn(2000, seed=3, fallback=0.7, edges=reference.edges)[1], DriftConfig())
    assert {one.feature for one in found if one.drifted} == {"fallback"}
    _, other = drawn(2000, seed=4, edges=reference.edges)
    other["all"]["segment"][:] = [0, 1950, 50]
    assert ("all", "segment") in {(one.segment, one.feature) for one in drift(reference, other, DriftConfig()) if one.drifted}


def test_too_few_answers_say_nothing_however_odd_they_are():
    reference, _ = drawn(4000)
    found = drift(reference, drawn(300, {"deli": 9.0}, seed=5, edges=reference.edges)[1], DriftConfig())
    few = [one for one in found if one.segment == "deli"]
    assert all(one.psi is one.ks is one.p_value is None and not one.drifted for one in few) and few[0].observed == 150


def test_the_measures_against_values_by_hand():
    assert psi(np.array([1000, 1000]), np.array([500, 1500])) == pytest.approx(0.25 * np.log(3), rel=0.01)
    assert ks(np.array([2, 1, 1]), np.array([1, 1, 2])) == pytest.approx(0.25)
    from scipy.stats import kstwobign

    for distance in (0.02, 0.05, 0.1):
        assert ks_p_value(distance, 500, 700) == pytest.approx(kstwobign.sf(distance * np.sqrt(500 * 700 / 1200)), abs=1e-9)


def test_what_has_no_number_has_a_bin_of_its_own():
    edges = {name: np.array([1.0, 2.0]) for name in FEATURES}
    reference = Reference("tiny", edges, NAMES, {})
    counts = empty_counts(reference)
    for value in (0.5, 1.0, 1.5, 7.0, np.nan, np.inf):
        add_answer(counts, reference, "base", dict.fromkeys(FEATURES, value), False)
    assert counts["all"]["price"].tolist() == [1, 2, 1, 2] and counts["deli"]["price"].sum() == 0
    add_answer(counts, reference, "nobody knows this one", dict.fromkeys(FEATURES, 0.0), True)
    assert counts["all"]["fallback"].tolist() == [6, 1] and counts["all"]["segment"].tolist() == [0, 6, 0]
