"""What a segment's questions are answered with, against counts by hand."""

import numpy as np
import pytest

from recsys_core.evaluation.contestants import Contestants, partners
from recsys_core.evaluation.curve import CurveConfig, CurvePoint, ShotCurve, curve_sizes, make_curve
from recsys_core.evaluation.questions import Questions, ask, blocks
from recsys_core.interactions.arrays import Histories, Queries
from recsys_core.metrics.bootstrap import Interval
from tests.evaluation.planted import adaptation, planted_study


@pytest.fixture(scope="module")
def study():
    return planted_study()


@pytest.fixture(scope="module")
def questions(study):
    window = study.window("store")
    return ask(study, "store", window.gate_start, window.report_start, 40, np.random.default_rng(0))


def test_counts_are_the_members_events_before_the_cut_off_without_the_askers(study, questions):
    cutoff, events = study.window("store").gate_start, study.events
    made = Contestants(study, "store", questions, cutoff, None, None, np.random.default_rng(0))
    blends = made.blends(slice(3, 9))(np.zeros(6, int))
    assert set(blends) == {"segment_popularity", "counting"}  # without an adapter there is no placebo either
    base = np.random.default_rng(1).normal(size=(6, 144)).astype(np.float32)
    popularity, counting = (blends[name](slice(0, 6), base) for name in ("segment_popularity", "counting"))
    codes = study.codes("store")[0]
    for row, at in enumerate(range(3, 9)):
        mine = (codes == questions.member[at]) & (events.timestamp < cutoff) & (events.user != questions.queries.user[at])
        expected = np.bincount(events.item[mine], minlength=144)
        np.testing.assert_array_equal(popularity[row], expected)
        order = np.lexsort((-base[row], -expected))
        np.testing.assert_array_equal(np.argsort(-counting[row], kind="stable"), order)


def test_offsets_are_added_as_far_as_they_are_trusted(study, questions):
    cutoff = study.window("store").gate_start
    made = Contestants(study, "store", questions, cutoff, adaptation(study, (1, 0.5, 0, 0, 0, 0, 0)), None,
                       np.random.default_rng(0)).blends(slice(0, 2))
    base = np.zeros((2, 144), np.float32)
    whole, half, none = (made(np.full(2, steps))["adapted"](slice(0, 2), base) for steps in (0, 1, 2))
    assert whole.any() and not none.any() and base.max() == 0
    np.testing.assert_allclose(half, whole / 2, rtol=1e-5)
    placebo = made(np.zeros(2, int))["placebo"](slice(0, 2), base)
    assert not np.allclose(placebo, whole)


def test_a_plain_segments_placebo_comes_from_outside_it(study):
    window = study.window("north")
    asked = ask(study, "north", window.gate_start, window.report_start, 30, np.random.default_rng(0))
    made = Contestants(study, "north", asked, window.gate_start, adaptation(study), None, np.random.default_rng(0))
    blends = made.blends(slice(0, 5))(np.zeros(5, int))
    base = np.zeros((5, 144), np.float32)
    adapted, placebo = (blends[name](slice(0, 5), base) for name in ("adapted", "placebo"))
    assert (adapted[:, [5, 77]] > placebo[:, [5, 77]] + 0.5).all()  # what only the north likes


def test_partners_have_about_as_many_shots():
    assert partners(np.array([5, 100, 7, 90])).tolist() == [2, 3, 3, 1]


def test_questions_are_cut_into_blocks():
    assert [(part.start, part.stop) for part in blocks(5, 2)] == [(0, 2), (2, 4), (4, 5)]


def test_few_of_each_member_are_kept():
    n = 12
    empty = Histories(np.zeros(n + 1, np.int64), *[np.zeros(0, np.int32)] * 4)
    queries = Queries(np.arange(n), np.arange(n), empty, np.arange(n + 1), np.arange(n))
    member = np.array([0] * 8 + [1] * 3 + [2])
    found = Questions(queries, member).few_of_each(3, np.random.default_rng(0))
    assert np.bincount(found.member).tolist() == [3, 3, 1] and (np.diff(found.queries.user) > 0).all()
    assert (member[found.queries.user] == found.member).all()


def test_a_curve_has_an_interval_at_every_size_and_ends_at_all_shots():
    assert curve_sizes(1000, CurveConfig()) == [4, 16, 64, 256, 1000] and curve_sizes(3, CurveConfig()) == [3]
    gains = {k: np.full(40, gain) + np.random.default_rng(k).normal(0, 0.01, 40) for k, gain in ((4, 0.0), (16, 0.05), (50, 0.1))}
    found = make_curve(gains, np.arange(40), np.random.default_rng(0))
    assert [point.k for point in found.points] == [4, 16, 50] and found.break_even == 16
    assert make_curve(gains, np.zeros(0), np.random.default_rng(0)) == ShotCurve()
    assert ShotCurve.from_json(found.to_json()) == found


@pytest.mark.parametrize(("lows", "expected"), [
    ({4: 0.01, 16: 0.02}, 4), ({4: -0.01, 16: 0.02}, 16), ({4: 0.01, 16: -0.01, 64: 0.01}, 64), ({4: 0.01, 16: -0.01}, None),
    ({}, None)])
def test_break_even_is_where_it_starts_to_pay_for_good(lows, expected):
    points = [CurvePoint(k, Interval(low + 0.01, low, low + 0.02, 0.01, 100, 50)) for k, low in lows.items()]
    assert ShotCurve(tuple(points)).break_even == expected
