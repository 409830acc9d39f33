"""The curve over K: exactly the product's adapters, on gate questions only, and its verdict."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.adaptation.adapt import adapt_segment, choose_scale, view_base
from recsys_core.adaptation.shots import draw_shots, nth_occurrence, shots_from_rows
from recsys_core.adaptation.study import Study
from recsys_core.evaluation.bootstrap import Interval
from recsys_core.evaluation.curve import CurveConfig, CurvePoint, ShotCurve, ShotPool, measure_curve
from recsys_core.evaluation.segments import SegmentJudge
from tests.adaptation.built import ADAPTATION, EVALUATION, built_shop

CONFIG = CurveConfig(seeds=3, max_queries=60)


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture(scope="module")
def shots(built):
    return SegmentJudge(built.study, EVALUATION, {}, False)._shots(built.adapters()["toys"])


@pytest.fixture(scope="module")
def pool(built, shots):
    ranker, prior = built.study.twin(built.plan["toys"])
    return ShotPool(prior, ranker, shots, seed=0)


def measured(built, shots, item=None) -> ShotCurve:
    """The toys' curve, where given with other items in the shop's events."""
    study = Study(built.base, built.tables["interactions"], built.tables["segment_events"], ADAPTATION.shots)
    if item is not None:
        study.events = replace(study.events, item=item)
    return measure_curve(study, "toys", built.plan["toys"], shots, ADAPTATION, CONFIG, k=10, seed=0)


@pytest.fixture(scope="module")
def curve(built, shots):
    return measured(built, shots)


def test_a_department_that_pays_pays_from_some_k_on(built):
    found = ShotCurve.from_json(built.judged["toys"]["curve"])
    assert [point.k for point in found.points] == [2, 4, 16, 32]  # it stops at the shots it has
    assert found.break_even in (4, 16) and not found.points[0].pays
    assert found.points[-1].gain.mean > found.points[1].gain.mean and found.points[-1].gain.mean > 0.1
    assert found.points[-1].placebo.mean < found.points[-1].gain.low
    assert 0 < found.points[-1].detectable < found.points[-1].gain.mean
    assert found.seeds == 10 and found.available > 32


def test_two_shots_are_too_few_for_the_product_and_gain_nothing(built):
    first = built.judged["toys"]["curve"]["points"][0]
    assert (first["k"], first["adapted"], first["gain"]["mean"], first["detectable"]) == (2, 0.0, 0.0, None)


def test_shuffled_labels_never_pay(built, shots):
    shuffled = np.random.default_rng(0).integers(0, len(built.base.catalogue), len(shots)).astype(np.int32)
    noise = replace(shots, items=shuffled, queries=replace(shots.queries, targets=shuffled))
    found = measured(built, noise)
    assert found.break_even is None and not any(point.pays for point in found.points)
    assert found.adapt_from(proven=False) == 2 * found.available


def test_nobody_has_no_curve_and_is_never_left_alone(built):
    found = ShotCurve.from_json(built.judged["nobody"]["curve"])
    assert (found.points, found.questions, found.break_even, found.adapt_from(proven=False)) == ((), 0, None, 0)


@pytest.mark.parametrize("fit", [(4, 0), (16, 0), (16, 1), (32, 0), (32, 1)])
def test_every_subset_is_adapted_as_the_product_adapts_it(built, pool, fit):
    events, positions = built.study.events, pool.subset(fit)
    subset = shots_from_rows(events, np.flatnonzero(np.isin(events.row, pool.shots.rows[positions])))
    ranker, prior = built.study.twin(built.plan["toys"])
    scale, _ = choose_scale(prior, view_base(ranker, subset), subset, ADAPTATION, np.random.default_rng([0, 3, *fit]))
    assert pool.choose_scales([fit], ADAPTATION) == ({fit: scale} if scale else {})
    product = adapt_segment(prior, ranker, "toys", subset, ADAPTATION, np.random.default_rng(0), scale=0.5)
    found = pool.fit({fit: 0.5}, ADAPTATION)[fit]
    np.testing.assert_allclose(found, product.offsets(built.base.catalogue), atol=1e-4)


def test_draws_differ_keep_the_cap_per_user_and_end_at_the_whole_pool(pool):
    subsets = [pool.subset((16, draw)) for draw in range(3)]
    assert len({positions.tobytes() for positions in subsets}) == 3
    assert all(nth_occurrence(pool.shots.users[positions]).max() < 2 and len(positions) <= 16 for positions in subsets)
    assert pool.subset((32, 0)).tolist() == list(range(32)) == pool.subset((32, 1)).tolist()


def test_what_happens_after_the_gate_or_to_shoppers_who_give_shots_changes_nothing(built, shots, curve):
    window, events = built.plan["toys"], built.study.events
    hidden = (events.timestamp >= window.report_start) | (
        (events.timestamp >= window.gate_start) & built.study.support_users[events.user])
    item = events.item.copy()
    item[hidden] = np.random.default_rng(1).permutation(item[hidden])
    assert measured(built, shots, item).to_json() == curve.to_json()
    asked = (events.timestamp >= window.gate_start) & ~hidden
    item[asked] = np.random.default_rng(1).permutation(item[asked])
    assert measured(built, shots, item).to_json() != curve.to_json()


def test_too_few_shots_give_no_points(built):
    window = built.plan["toys"]
    few = draw_shots(built.study.events, window.support_start, window.gate_start, built.study.member("toys"),
                     ADAPTATION.shots.model_copy(update={"k": 3}), np.random.default_rng(0), built.study.support_users)
    found = measured(built, few)
    assert found.points == () and found.questions == 60 and found.adapt_from(proven=False) == 2 * found.available


def test_one_shoppers_shots_are_no_evidence(built, shots):
    alone = replace(shots, users=np.zeros_like(shots.users))
    found = measured(built, alone)
    assert [p.k for p in found.points] == [2, 4, 16, 32] and not any(p.adapted for p in found.points)
    assert found.break_even is None


def point(k: int, gain: float, low: float, placebo: float = 0.0) -> CurvePoint:
    return CurvePoint(k, Interval(gain, low, 2 * gain - low, 0.01, 100, 50),
                      Interval(placebo, placebo - 0.01, placebo + 0.01, 0.5, 100, 50), 1.0, 0.02)


@pytest.mark.parametrize(("points", "expected"), [
    ([point(4, 0.02, 0.01), point(16, 0.03, 0.02)], 4),
    ([point(4, 0.02, -0.01), point(16, 0.03, 0.02)], 16),
    ([point(4, 0.02, 0.01), point(16, 0.01, -0.01), point(64, 0.03, 0.01)], 64),  # from there on, not once
    ([point(4, 0.02, 0.01), point(16, 0.03, 0.02, placebo=0.04)], None),  # as good as a placebo is not good
    ([point(4, 0.02, 0.01), point(16, 0.0, -0.01)], None),
    ([], None)])
def test_break_even_is_where_it_starts_to_pay_for_good(points, expected):
    found = ShotCurve(40, 4, 10, 100, 50, tuple(points))
    assert found.break_even == expected
    assert found.adapt_from(proven=False) == (expected or 80)
    assert found.adapt_from(proven=True) == (expected or 0)  # what the gate promoted is kept up to date
    assert ShotCurve.from_json(found.to_json()) == found
