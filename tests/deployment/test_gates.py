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
    assert judge(first=True).outcome == "passed"
    verdict = judge(value=0.01, first=True)
    assert verdict.outcome == "refused" and "floor" in verdict.reasons[0]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("baselines", [
    {}, {"popularity": gain(0.01)}, {**BEATS, "item_knn": gain(0.0)}, {**BEATS, "item_knn": gain(-0.01)},
    {**BEATS, "item_knn": gain(math.nan)}, {**BEATS, "item_knn": gain(-math.inf, math.inf)},
])
def test_every_baseline_must_be_proven_beaten(first, baselines):
    verdict = judge(champion=gain(0.0), baselines=baselines, first=first)
    assert verdict.outcome == "refused" and "item_knn" in " ".join(verdict.reasons)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_metric_that_is_no_number_fails_closed(value):
    assert judge(value=value, first=True).outcome == "broken"
    assert bundle_gate({}, None, BEATS, CONFIG, first=True).outcome == "broken"


def test_against_a_champion_only_the_allowed_loss_is_allowed():
    assert judge(champion=gain(-0.004)).outcome == "passed"            # 0.05 · 0.1 = 0.005 allowed
    verdict = judge(champion=gain(-0.006))
    assert verdict.outcome == "refused" and "champion" in verdict.reasons[0]


@pytest.mark.parametrize("champion", [None, gain(math.nan), gain(-math.inf, math.inf)])
def test_a_champion_that_was_not_rescored_fails_closed(champion):
    verdict = judge(champion=champion)
    assert verdict.outcome == "refused" and "not re-scored" in verdict.reasons[0]


def test_failures_come_first_and_every_condition_is_told():
    verdict = judge(champion=gain(0.0), baselines={**BEATS, "item_knn": gain(-0.1)})
    assert len(verdict.reasons) == 5 and verdict.reasons[0].startswith("not proven better than item_knn")


def test_a_bundle_that_answers_otherwise_than_trained_is_refused_whatever_it_is_worth():
    fault = "golden request 3 (segment deli) is answered differently"
    verdict = bundle_gate({"ndcg@10": 0.1}, None, BEATS, CONFIG, first=True, faults=[fault])
    assert judge(first=True).outcome == "passed" and verdict.outcome == "broken" and verdict.reasons[0] == fault


def against(losses=None, unfair=()):
    return bundle_gate({"ndcg@10": 0.1}, gain(0.0), BEATS, CONFIG, first=False, losses=losses, unfair=unfair)


def lost(mean: float, p: float) -> Interval:
    return Interval(mean, mean - 0.01, mean + 0.01, p, 100, 60)


def test_a_segment_in_which_the_challenger_is_proven_worse_refuses_the_bundle_and_is_named():
    verdict = against({"store (full history)": lost(0.05, 0.001), "toys (none history)": lost(0.001, 0.4)})
    assert verdict.outcome == "refused" and "store (full history)" in verdict.reasons[0] and "toys" not in verdict.reasons[0]


def test_of_many_segments_one_that_seems_worse_by_chance_refuses_nothing():
    seems = {f"s{n}": lost(0.0, 0.5) for n in range(9)}
    assert against({"s": lost(0.02, 0.03)}).outcome == "refused"
    assert against({**seems, "s": lost(0.02, 0.03)}).outcome == "passed"


def test_a_segment_that_could_not_be_measured_fails_closed():
    verdict = against({"toys": Interval(math.nan, math.nan, math.nan, 1.0, 100, 60)})
    assert verdict.outcome == "refused" and "toys: a metric is not finite" in verdict.reasons[0]


def test_a_gap_that_is_too_large_holds_what_would_pass_and_saves_nothing_else():
    assert against(unfair=["age 18: NDCG lacks 40%"]).outcome == "held"
    assert against(unfair=["age 18: NDCG lacks 40%"]).reasons[0] == "age 18: NDCG lacks 40%"
    assert bundle_gate({"ndcg@10": 0.1}, gain(-1.0), BEATS, CONFIG, first=False, unfair=["x"]).outcome == "refused"
