"""The gate: promoted only with proof against every rival, refused with a reason otherwise."""

import numpy as np
import pytest

from recsys_core.evaluation.gate import GateConfig, Trial, decide, no_trial, try_adapter

CONFIG = GateConfig()
N = 120
USERS = np.arange(N) // 3


def scores(rng, **gains: float) -> dict[str, np.ndarray]:
    """NDCG-like scores of "adapted", and of rivals that are worse by `gains` on average."""
    adapted = rng.uniform(0.3, 0.7, N)
    return {"adapted": adapted, **{name: adapted - gain + rng.normal(0, 0.1, N) for name, gain in gains.items()}}


def judged(name="toys", config=CONFIG, users=USERS, seed=0, **gains) -> Trial:
    rng = np.random.default_rng(seed)
    return try_adapter(name, scores(rng, **gains), users, config, rng)


ALL = {"base": 0.1, "placebo": 0.1, "from_scratch": 0.1, "segment_popularity": 0.1, "incumbent": 0.1}


def test_better_than_every_rival_is_promoted():
    trial = judged(**ALL)
    assert set(trial.gains) == set(ALL) and not trial.reason and trial.p_value < 0.01
    decision = decide([trial], CONFIG)["toys"]
    assert decision["decision"] == "promoted" and "over the base" in decision["reason"]


@pytest.mark.parametrize("rival", ALL)
def test_a_rival_as_good_is_named_in_the_refusal(rival):
    """The placebo among them: an adapter that is no better than one of other rows has learned nothing."""
    trial = judged(**ALL | {rival: 0.0})
    decision = decide([trial], CONFIG)["toys"]
    assert trial.toughest == rival
    assert decision["decision"] == "refused"
    assert f"not proven better than {rival.replace('_', ' ')}" in decision["reason"]


@pytest.mark.parametrize("name", ["adapted", "base", "placebo"])
def test_a_metric_that_is_not_finite_fails_closed(name):
    rng = np.random.default_rng(0)
    found = scores(rng, **ALL)
    found[name][7] = np.nan
    trial = try_adapter("toys", found, USERS, CONFIG, rng)
    assert trial.p_value == 1.0 and "not finite" in trial.reason
    assert decide([trial], CONFIG)["toys"]["decision"] == "refused"


@pytest.mark.parametrize("missing", ["base", "placebo"])
def test_a_missing_contestant_fails_closed(missing):
    rng = np.random.default_rng(0)
    found = scores(rng, **{name: gain for name, gain in ALL.items() if name != missing})
    trial = try_adapter("toys", found, USERS, CONFIG, rng)
    assert missing in trial.reason
    assert decide([trial], CONFIG)["toys"]["decision"] == "refused"


def test_too_few_queries_or_users_is_no_evidence():
    few = {name: values[:29] for name, values in scores(np.random.default_rng(0), **ALL).items()}
    trial = try_adapter("toys", few, USERS[:29], CONFIG, np.random.default_rng(0))
    assert "29 gate queries of 10 users (needs 30 of 10)" in trial.reason
    alone = judged(users=np.arange(N) % 9, **ALL)
    assert "120 gate queries of 9 users" in alone.reason
    assert decide([alone], CONFIG)["toys"] == {"decision": "refused", "reason": alone.reason, "p_holm": 1.0}


def test_one_bad_segment_is_refused_alone():
    good = [judged(name, seed=seed, **ALL) for seed, name in enumerate("abc")]
    before = decide(good, CONFIG)
    bad = judged("shuffled", seed=9, **dict.fromkeys(ALL, -0.05))
    after = decide([*good, bad], CONFIG)
    assert after["shuffled"]["decision"] == "refused"
    assert all(after[name]["decision"] == before[name]["decision"] == "promoted" for name in "abc")


def test_holm_asks_more_of_more_segments():
    def trial(name, p):
        gain = {"gain": 0.1, "low": 0.0, "high": 0.2, "p": p}
        return Trial(name, p, "base", {"base": gain}, 100, 30, 0.05, "")

    assert decide([trial("a", 0.03)], CONFIG)["a"]["decision"] == "promoted"
    crowd = decide([trial("a", 0.03), trial("b", 0.001), trial("c", 0.4)], CONFIG)
    assert {name: (found["decision"], round(found["p_holm"], 6)) for name, found in crowd.items()} == {
        "a": ("refused", 0.06), "b": ("promoted", 0.003), "c": ("refused", 0.4)}
    unjudged = decide([trial("a", 0.03), no_trial("b", "no shots"), no_trial("c", "no shots")], CONFIG)
    assert unjudged["a"]["decision"] == "promoted"  # what was never tested costs nothing


def test_a_trial_survives_its_record():
    trial = judged(**ALL)
    assert Trial(**trial.to_dict()) == trial
