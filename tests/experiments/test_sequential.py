import math

import numpy as np
import pytest

from recsys_core.errors import RecsysError
from recsys_core.experiments.sequential import SequentialConfig, sequential_difference, sequential_sign

CONFIG = SequentialConfig()
SHAPES = {  # rng, users, lift per user → outcome per user
    "common": lambda rng, n, lift: (rng.random(n) < 0.3 * lift).astype(float),
    "rare": lambda rng, n, lift: (rng.random(n) < 0.02 * lift).astype(float),
    "money": lambda rng, n, lift: (rng.random(n) < 0.1 * lift) * np.exp(rng.normal(3, 1.2, n)),
}


def draw(shape: str, share: float, users: int, seed: int, lift: float = 1.0):
    rng = np.random.default_rng(seed)
    treated = rng.random(users) < share
    return SHAPES[shape](rng, users, np.where(treated, lift, 1.0)), treated, np.zeros(users)


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_looking_after_every_user_is_rarely_wrong(shape, share):
    wrong = sum(sequential_difference(*draw(shape, share, 3000, seed), share, CONFIG).p_value <= 0.05 for seed in range(200))
    assert wrong <= 10  # 5% of 200; the test is conservative, so that this is no coin toss


def test_a_real_difference_is_found():
    found = [sequential_difference(*draw("common", 0.5, 4000, seed, lift=1.25), 0.5, CONFIG) for seed in range(50)]
    assert sum(one.low > 0 for one in found) >= 45
    assert np.mean([one.mean for one in found]) == pytest.approx(0.075, abs=0.01)


def test_a_test_of_fixed_size_would_be_wrong_often():
    """The contrast that the sequential bounds exist for: the usual z at 1.96, looked at every 100 users."""
    wrong = 0
    for seed in range(200):
        y, w, _ = draw("common", 0.5, 3000, seed)
        for n in range(200, 3001, 100):
            a, b = y[:n][w[:n]], y[:n][~w[:n]]
            if abs(a.mean() - b.mean()) > 1.96 * math.sqrt(a.var() / len(a) + b.var() / len(b)):
                wrong += 1
                break
    assert wrong > 30


def test_the_interval_holds_the_truth_and_shrinks():
    y, w, x = draw("common", 0.5, 20_000, 3, lift=1.2)
    early, late = (sequential_difference(y[:n], w[:n], x[:n], 0.5, CONFIG) for n in (2_000, 20_000))
    assert early.low < 0.06 < early.high and late.low < 0.06 < late.high
    assert late.high - late.low < 0.4 * (early.high - early.low)


def test_what_was_known_before_narrows_the_interval():
    rng = np.random.default_rng(5)
    habit = rng.gamma(1.0, 3.0, 4000)
    y, w = rng.poisson(habit).astype(float), rng.random(4000) < 0.5
    plain, adjusted = (sequential_difference(y, w, x, 0.5, CONFIG) for x in (np.zeros(4000), habit))
    assert adjusted.high - adjusted.low < 0.65 * (plain.high - plain.low)


def test_few_outcomes_give_no_interval():
    y, w, x = draw("rare", 0.5, 400, 1)
    found = sequential_difference(y, w, x, 0.5, CONFIG)
    assert math.isinf(found.low) and math.isinf(found.high) and found.p_value == 1.0
    assert found.to_json()["low"] is None
    assert sequential_difference(np.zeros(0), np.zeros(0, bool), np.zeros(0), 0.5, CONFIG).n == 0


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(RecsysError, match="finite"):
        sequential_difference(np.array([1.0, np.nan]), np.array([True, False]), np.zeros(2), 0.5, CONFIG)


def test_signs_of_a_fair_coin_are_rarely_called_unfair():
    wrong = sum(sequential_sign(np.where(np.random.default_rng(seed).random(2000) < 0.5, 1, -1), CONFIG).p_value <= 0.05
                for seed in range(400))
    assert wrong <= 20


def test_signs_of_an_unfair_coin_are():
    rng = np.random.default_rng(0)
    wins = np.where(rng.random(1000) < 0.6, 1, -1) * (rng.random(1000) < 0.7)  # 3 in 10 prefer neither
    found = sequential_sign(wins, CONFIG)
    assert found.p_value < 0.01 and 0.5 < found.low < 0.6 < found.high and found.n == (wins != 0).sum()


def test_one_sided_signs_have_a_bound():
    assert sequential_sign(np.ones(30), CONFIG).high == 1.0 and sequential_sign(np.ones(30), CONFIG).low > 0.7
    assert sequential_sign(-np.ones(30), CONFIG).low == 0.0
    assert math.isinf(sequential_sign(np.zeros(5), CONFIG).low)
