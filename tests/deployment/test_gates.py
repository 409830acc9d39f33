import math

import pytest

from recsys_core.deployment.gates import BundleGateConfig, bundle_gate
from recsys_core.metrics.bootstrap import Interval

CONFIG = BundleGateConfig(baselines=("popularity", "item_knn"), tolerance=0.05, floor=0.01)


def gain(low: float, high: float | None = None) -> Interval:
    high = low + 0.02 if high is None else high
    return Interval((low + high) / 2, low, high, 0.01, 500, 100)


BEATS = {"popularity": gain(0.01), "item_knn": gain(0.002)}


def judge(value=0.1, champion=None, baselines=BEATS, first=False):
    return bundle_gate({"ndcg@10": value}, champion, baselines, CONFIG, first=first)


def test_a_first_model_passes_over_the_floor_and_every_baseline():
    assert judge(first=True).passed
    verdict = judge(value=0.01, first=True)
    assert not verdict.passed and "floor" in verdict.reasons[0]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("baselines", [
    {}, {"popularity": gain(0.01)}, {**BEATS, "item_knn": gain(0.0)}, {**BEATS, "item_knn": gain(-0.01)},
    {**BEATS, "item_knn": gain(math.nan)}, {**BEATS, "item_knn": gain(-math.inf, math.inf)},
])
def test_every_baseline_must_be_proven_beaten(first, baselines):
    verdict = judge(champion=gain(0.0), baselines=baselines, first=first)
    assert not verdict.passed and "item_knn" in " ".join(verdict.reasons)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_metric_that_is_no_number_fails_closed(value):
    assert not judge(value=value, first=True).passed
    assert not bundle_gate({}, None, BEATS, CONFIG, first=True).passed


def test_against_a_champion_only_the_allowed_loss_is_allowed():
    assert judge(champion=gain(-0.004)).passed            # 0.05 · 0.1 = 0.005 allowed
    verdict = judge(champion=gain(-0.006))
    assert not verdict.passed and "champion" in verdict.reasons[0]


@pytest.mark.parametrize("champion", [None, gain(math.nan), gain(-math.inf, math.inf)])
def test_a_champion_that_was_not_rescored_fails_closed(champion):
    verdict = judge(champion=champion)
    assert not verdict.passed and "not re-scored" in verdict.reasons[0]


def test_failures_come_first_and_every_condition_is_told():
    verdict = judge(champion=gain(0.0), baselines={**BEATS, "item_knn": gain(-0.1)})
    assert len(verdict.reasons) == 4 and verdict.reasons[0].startswith("not proven better than item_knn")


def test_a_bundle_that_answers_otherwise_than_trained_is_refused_whatever_it_is_worth():
    fault = "golden request 3 (segment deli) is answered differently"
    verdict = bundle_gate({"ndcg@10": 0.1}, None, BEATS, CONFIG, first=True, faults=[fault])
    assert judge(first=True).passed and not verdict.passed and verdict.reasons[0] == fault
