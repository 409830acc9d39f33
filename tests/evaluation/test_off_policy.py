"""Off-policy values: logs drawn from a known world give back the known value, and say when they cannot."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys_core.errors import DataError
from recsys_core.evaluation.off_policy import OffPolicyConfig, PolicyLog, policy_value, ranker_log
from recsys_core.interactions.arrays import Histories, Interactions

ITEMS, SLOTS = 6, 3


def world(seed: int = 0, n: int = 40_000):
    """Click rates that differ by item and slot, a logging policy and a judged one that prefer opposite items."""
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.02, 0.3, ITEMS)[:, None] * np.array([1.0, 0.6, 0.3])
    logging = np.linspace(3, 1, ITEMS) / np.linspace(3, 1, ITEMS).sum()
    judged = np.linspace(1, 5, ITEMS) / np.linspace(1, 5, ITEMS).sum()
    item, slot = rng.choice(ITEMS, n, p=logging), rng.integers(0, SLOTS, n)
    reward = (rng.random(n) < rates[item, slot]).astype(float)
    return rates, logging, judged, item, slot, reward


def log_of(world, **changes) -> PolicyLog:
    _, logging, judged, item, _, reward = world
    return PolicyLog(**{"reward": reward, "propensity": logging[item], "probability": judged[item],
                        "cluster": np.arange(len(item)), **changes})


def value(log: PolicyLog, **config):
    return policy_value(log, OffPolicyConfig(**config), np.random.default_rng(0))


def test_the_planted_value_is_found_where_the_log_itself_is_far_off() -> None:
    planted = world()
    rates, _, judged, *_ = planted
    truth = float((judged @ rates).mean())
    found = value(log_of(planted))
    assert found.logged.high < truth * 0.9
    for estimate in (found.ips, found.snips):
        assert estimate.low < truth < estimate.high and abs(estimate.mean / truth - 1) < 0.05
    assert abs(found.mean_weight - 1) < 0.03 and found.clipped == 0


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    hits = {"ips": 0, "snips": 0}
    for seed in range(60):
        planted = world(seed, n=1500)
        truth = float((planted[2] @ planted[0]).mean())
        found = value(log_of(planted), repeats=300)
        for name in hits:
            estimate = getattr(found, name)
            hits[name] += estimate.low <= truth <= estimate.high
    assert all(52 <= count <= 60 for count in hits.values()), hits


def test_wrong_propensities_show_in_the_mean_weight() -> None:
    planted = world()
    assert value(log_of(planted, propensity=planted[1][planted[3]] / 2)).mean_weight > 1.9


def test_the_logging_policy_judged_by_its_own_log_is_the_plain_mean() -> None:
    planted = world(n=500)
    found = value(log_of(planted, probability=planted[1][planted[3]]))
    assert found.ips.mean == pytest.approx(planted[5].mean()) == found.snips.mean
    assert found.effective_rows == pytest.approx(500)


def test_clipping_counts_and_lowers_the_estimate() -> None:
    planted = world(n=2000)
    found = value(log_of(planted), max_weight=1.5)
    assert 0 < found.clipped < 1 and found.ips.mean < value(log_of(planted)).ips.mean
    assert found.effective_rows > value(log_of(planted)).effective_rows


def test_rows_of_one_user_are_drawn_together() -> None:
    planted = world(n=2000)
    rows, users = log_of(planted), log_of(planted, cluster=np.sort(planted[3]) // 2)  # three users
    wide, narrow = value(users).ips, value(rows).ips
    assert wide.clusters == 3 and wide.high - wide.low > narrow.high - narrow.low


class Favourite:
    """A stand-in ranker: log-odds 2 for whatever the history ends with."""

    catalogue = SimpleNamespace(item_ids=["a", "b", "c"], row_of={"a": 0, "b": 1, "c": 2})

    def score(self, histories: Histories, now: int) -> np.ndarray:
        scores = np.zeros((1, 3), np.float32)
        scores[0, histories.items[-1:]] = 2.0
        return scores


def test_a_ranker_is_judged_by_what_it_knew_before_each_impression() -> None:
    events = Interactions(np.array([0, 0, 1], np.int32), np.array([0, 1, 2], np.int32), np.array([10, 20, 10]),
                          np.zeros(3, np.int8), np.arange(3), ["u", "v"])
    exposures = pl.DataFrame({
        "user_id": ["u", "u", "u", "stranger", "v", "v"], "item_id": ["a", "b", "b", "a", "a", "gone"],
        "timestamp": [20, 20, 21, 99, 11, 12], "label": [1, 0, 1, 0, 0, 1], "position": [1, 1, 1, 1, 2, 1],
        "propensity": [0.5, 0.5, 0.5, 0.5, None, 0.5]}).with_columns(pl.from_epoch("timestamp").dt.replace_time_zone("UTC"))
    log = ranker_log(Favourite(), events, exposures, OffPolicyConfig(), np.random.default_rng(0))
    likes = np.exp(2) / (1 + np.exp(2))  # slot 1 ever showed a and b
    np.testing.assert_allclose(log.probability, [likes, 1 - likes, likes, 0.5])
    assert log.reward.tolist() == [1, 0, 1, 0] and len(set(log.cluster)) == 2
    few = ranker_log(Favourite(), events, exposures, OffPolicyConfig(max_rows=2), np.random.default_rng(0))
    assert len(few.reward) == 2
    unlogged = exposures.with_columns(propensity=pl.lit(None, pl.Float64))
    assert ranker_log(Favourite(), events, unlogged, OffPolicyConfig(), np.random.default_rng(0)) is None


@pytest.mark.parametrize(("changes", "message"), [
    ({"propensity": np.array([0.5, 0.0])}, "propensity of row 1 is 0.0"),
    ({"propensity": np.array([0.5, np.nan])}, "propensity of row 1 is nan"),
    ({"probability": np.array([0.5, 1.5])}, "probability of row 1"),
    ({"probability": np.zeros(2)}, "shows none of the logged items"),
    ({"reward": np.array([1.0])}, "1 values of reward for 2 rows"),
])
def test_what_cannot_be_judged_is_refused(changes: dict, message: str) -> None:
    log = {"reward": np.ones(2), "propensity": np.full(2, 0.5), "probability": np.full(2, 0.5), "cluster": np.arange(2)}
    with pytest.raises(DataError, match=message):
        value(PolicyLog(**{**log, **changes}))
