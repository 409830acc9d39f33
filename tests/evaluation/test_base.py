"""The base beside the trivial rankers, how windows are told to people, and clicks beside base rates."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_core.base_model.click import ClickConfig, fit_click_model
from recsys_core.base_model.model import BaseModelArtefact
from recsys_core.evaluation.base import (
    STEPS,
    certify_base,
    describe_window,
    evaluate_base,
    evaluate_clicks,
    show_span,
)
from recsys_core.interactions.arrays import make_queries
from recsys_core.interactions.windows import BASE
from tests.adaptation.built import EVALUATION, built_shop

JUDGES = ("popularity", "personal_frequency", "item_knn", "last_item")


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture(scope="module")
def judged(built):
    return evaluate_base(built.study, EVALUATION)


def test_the_base_is_judged_beside_the_trivial_rankers(judged):
    methods, gains = judged.methods, judged.gains
    assert [method.method for method in methods] == ["base", *JUDGES]
    assert [method.ours for method in methods] == [True, False, False, False, False]
    ndcg = {method.method: method.metrics["all"]["ndcg@10"].mean for method in methods}
    found = {(gain.over, gain.slice): gain.interval for gain in gains}
    assert all(found[rival, "all"].low > 0 for rival in ("popularity", "item_knn", "last_item"))
    assert ndcg["base"] > ndcg["personal_frequency"] - 0.04  # favourites are all there is to know of most shoppers
    assert found["popularity", "all"].mean == pytest.approx(ndcg["base"] - ndcg["popularity"])
    assert set(found) == {(rival, part) for rival in JUDGES for part in ("all", "repeat", "first_time")}


def test_only_the_base_is_measured_beyond_accuracy(judged):
    base, *others = judged.methods
    assert 0 < base.coverage <= 1 and base.novelty > 0 and 0 <= base.long_tail_recall <= 1
    assert all(other.coverage is None for other in others)


def test_questions_come_from_the_report_window_only(built, judged):
    window, queries = built.plan[BASE], judged.queries
    assert queries.timestamp.min() >= window.report_start and queries.timestamp.max() < window.report_end
    facts = describe_window(window, queries, "UTC", order_only=False)
    assert (facts.first, facts.last) == ("2024-04-06", "2024-04-11")
    assert facts.queries == len(queries) and facts.targets == len(queries.targets) and 0 < facts.repeat_share < 1


def test_the_base_and_its_rivals_have_counted_everything_before_the_report_window(built):
    certificate, start = certify_base(built.study, order_only=False), built.plan[BASE].report_start
    assert certificate.holds and {check.name for check in certificate.checks} >= {"training before report",
                                                                                  "rows of training and report"}
    assert built.plan[BASE].gate_start < built.study.base_at(start)[0].counts.newest < start


def test_the_more_is_known_the_better_the_base_ranks_and_popularity_stays_as_it_is(judged):
    found = {one.steps: one.metrics for one in judged.known_steps}
    assert tuple(found) == STEPS and set(found[0]) == {"base", *JUDGES}
    assert len({metrics["popularity"].mean for metrics in found.values()}) == 1
    assert found[None]["base"].mean > found[0]["base"].mean + 0.05
    assert found[None]["personal_frequency"].mean > found[1]["personal_frequency"].mean


def test_judging_twice_finds_the_same(built, judged):
    again = evaluate_base(built.study, EVALUATION)
    assert (again.methods, again.gains, again.known_steps) == (judged.methods, judged.gains, judged.known_steps)


def test_a_window_nobody_bought_in_says_so(built):
    nothing = make_queries(built.study.events, 0, 1)
    assert describe_window(built.plan[BASE], nothing, "UTC", order_only=False).repeat_share is None


def test_spans_are_local_days_and_positions_where_there_are_no_days():
    start, end = (int(datetime(2024, 3, day, hour, tzinfo=UTC).timestamp()) for day, hour in ((1, 23), (3, 23)))
    assert show_span(start, end, "UTC", order_only=False) == ("2024-03-01", "2024-03-03")
    assert show_span(start, end, "Europe/Berlin", order_only=False) == ("2024-03-02", "2024-03-03")
    newest = 86_400 - 1
    assert show_span(newest, newest + 1, "UTC", order_only=True) == ("step −0", "step −0")
    assert show_span(newest - 3, newest, "UTC", order_only=True) == ("step −3", "step −1")


def exposures(built) -> pl.DataFrame:
    """Impressions of 30 shoppers on every day: what one bought before is taken six times in ten, the rest rarely."""
    rng = np.random.default_rng(0)
    window = built.plan[BASE]
    n = 6000
    second = np.sort(rng.integers(window.validation_start, window.report_end, n))
    before = rng.integers(0, 4, n)
    shown = rng.integers(20, 60, n)
    return pl.DataFrame({
        "event_id": [f"x{row}" for row in range(n)], "user_id": [f"u{u:03d}" for u in rng.integers(0, 30, n)],
        "item_id": [f"K{i:02d}" for i in rng.integers(0, 30, n)],
        "timestamp": pl.Series(second).cast(pl.Int64) * 1_000_000,
        "label": (rng.random(n) < np.where(before > 1, 0.6, 0.05)).astype(np.int8),
        "position": rng.integers(1, 6, n).astype(np.int32), "propensity": np.full(n, 1 / 24),
        "user_item_purchases": before, "user_purchases": rng.integers(0, 40, n),
        "item_purchases": rng.integers(0, 9, n), "item_impressions": shown, "item_conversions": shown // 4,
    }).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def test_clicks_are_judged_beside_base_rates_on_the_report_window(built, monkeypatch):
    table, window = exposures(built), built.plan[BASE]
    second = pl.col("timestamp").dt.epoch("s")
    known, counts = table.filter(second < window.gate_start), built.tables["item_features"].clear()
    model = fit_click_model(known, ClickConfig(), counts)
    monkeypatch.setattr(BaseModelArtefact, "click", lambda self, name: model)
    found = evaluate_clicks(built.study, table, EVALUATION, "UTC")
    judged = table.filter((second >= window.report_start) & (second < window.report_end))
    assert found.rows == judged.height and found.base_rate == pytest.approx(judged["label"].mean())
    auc = {method.method: method.auc for method in found.methods}
    assert auc["click_model"] > 0.75 > max(auc["like_ratio"], auc["item_rate"]) and auc["base_rate"] == 0.5
    assert found.uauc_gains["item_rate"].low > 0
    # items were shown at random, so the plain mean is an estimate of any policy's value that ignores them
    assert found.policy.logged.mean == pytest.approx(found.base_rate)
    assert abs(found.policy.snips.mean - found.base_rate) < 0.05 and 0 < found.policy.effective_rows < found.rows
    unlogged = table.with_columns(propensity=pl.lit(None, pl.Float64))
    assert evaluate_clicks(built.study, unlogged, EVALUATION, "UTC").policy is None


def test_a_shop_without_clicks_has_no_click_section(built):
    assert evaluate_clicks(built.study, built.tables["exposures"], EVALUATION, "UTC") is None
