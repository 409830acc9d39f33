"""The gate: promoted only with proof against every rival, refused with a reason otherwise."""

import numpy as np
import pytest

from recsys_core.evaluation.gate import (
    AUDIENCES,
    PAGE_SERVES,
    RIVAL_WORDS,
    GateConfig,
    Trial,
    decide,
    no_trial,
    try_adapter,
)

CONFIG = GateConfig()
N = 120
USERS = np.arange(N) // 3


def scores(rng, **gains: float) -> dict[str, np.ndarray]:
    """NDCG-like scores of "adapted", and of rivals that are worse by `gains` on average."""
    adapted = rng.uniform(0.3, 0.7, N)
    return {"adapted": adapted, **{name: adapted - gain + rng.normal(0, 0.1, N) for name, gain in gains.items()}}


def judged(name="toys", audience="none", config=CONFIG, users=USERS, seed=0, **gains) -> Trial:
    rng = np.random.default_rng(seed)
    return try_adapter(name, audience, scores(rng, **gains), users, config, rng)


ALL = {"base": 0.1, "placebo": 0.1, "segment_popularity": 0.1, "counting": 0.1, "incumbent": 0.1}


def test_better_than_every_rival_is_promoted_for_its_audience():
    trial = judged(**ALL)
    assert set(trial.gains) == set(ALL) == set(RIVAL_WORDS) and not trial.reason and trial.p_value < 0.01
    decision = decide([trial], CONFIG)["toys"]
    assert decision["decision"] == "promoted" and decision["audiences"] == ["none"]
    assert decision["reason"].startswith("shoppers without history: pays (+0.1")
    assert "ndcg@10 over the base, Holm p = " in decision["reason"] and "serves" not in decision["reason"]


def test_against_the_incumbent_an_adapter_must_only_not_lose_too_much():
    """From night to night it is almost the same adapter: if it had to be better, every second night would refuse it."""
    assert decide([judged(**ALL | {"incumbent": 0.0})], CONFIG)["toys"]["decision"] == "promoted"
    worse = judged(**ALL | {"incumbent": -0.1})
    reason = decide([worse], CONFIG)["toys"]["reason"]
    assert worse.toughest == "incumbent" and "may lose too much against the adapter that serves now (-0.0" in reason


@pytest.mark.parametrize("rival", sorted(set(ALL) - {"incumbent"}))
def test_a_rival_as_good_is_named_in_the_refusal(rival):
    """Counting among them: an adapter that is no better than counting its shots is not worth its keep."""
    trial = judged(audience="full", **ALL | {rival: 0.0})
    decision = decide([trial], CONFIG)["toys"]
    assert trial.toughest == rival
    assert (decision["decision"], decision["audiences"]) == ("refused", [])
    assert decision["reason"].startswith(f"shoppers with full history: not proven better than {RIVAL_WORDS[rival]} (")
    assert decision["reason"].endswith("; the base serves")


def test_a_segment_is_promoted_for_the_audiences_that_pay_and_only_those():
    trials = [judged(audience="none", **ALL), judged(audience="little", seed=1, **ALL),
              judged(audience="full", **ALL | {"base": 0.0})]
    found = decide(trials, CONFIG)["toys"]
    assert found["decision"] == "promoted" and found["audiences"] == ["none", "little"]
    assert found["reason"].index("without history: pays") < found["reason"].index("with full history: not proven better")
    assert found["reason"].endswith("; otherwise the base serves")
    assert set(found["p_holm"]) == set(AUDIENCES) and found["p_holm"]["full"] > 0.05 > found["p_holm"]["none"]


def test_where_a_page_is_all_that_is_known_the_filtered_base_serves():
    trials = [no_trial("toys", audience, "no shots", PAGE_SERVES) for audience in AUDIENCES]
    assert decide(trials, CONFIG)["toys"] == {
        "decision": "refused", "audiences": [], "reason": "no shots; the base filtered to the page serves",
        "p_holm": dict.fromkeys(AUDIENCES, 1.0)}


@pytest.mark.parametrize("name", ["adapted", "base", "placebo"])
def test_a_metric_that_is_not_finite_fails_closed(name):
    rng = np.random.default_rng(0)
    found = scores(rng, **ALL)
    found[name][7] = np.nan
    trial = try_adapter("toys", "none", found, USERS, CONFIG, rng)
    assert trial.p_value == 1.0 and "not finite" in trial.reason
    assert decide([trial], CONFIG)["toys"]["decision"] == "refused"


@pytest.mark.parametrize("missing", ["adapted", "base", "placebo", "segment_popularity", "counting"])
def test_a_missing_contestant_fails_closed(missing):
    rng = np.random.default_rng(0)
    found = {name: values for name, values in scores(rng, **ALL).items() if name != missing}
    trial = try_adapter("toys", "none", found, USERS, CONFIG, rng)
    assert missing.replace("_", " ") in trial.reason
    assert decide([trial], CONFIG)["toys"]["decision"] == "refused"


def test_too_few_questions_or_shoppers_is_no_evidence():
    few = {name: values[:29] for name, values in scores(np.random.default_rng(0), **ALL).items()}
    trial = try_adapter("toys", "little", few, USERS[:29], CONFIG, np.random.default_rng(0))
    assert "29 gate questions of 10 shoppers (needs 30 of 10)" in trial.reason
    alone = judged(users=np.arange(N) % 9, **ALL)
    assert "120 gate questions of 9 shoppers" in alone.reason
    assert decide([alone], CONFIG)["toys"]["reason"] == (
        f"shoppers without history: {alone.reason}; the base serves")


def test_one_bad_segment_is_refused_alone():
    good = [judged(name, seed=seed, **ALL) for seed, name in enumerate("abc")]
    before = decide(good, CONFIG)
    bad = judged("shuffled", seed=9, **dict.fromkeys(ALL, -0.05))
    after = decide([*good, bad], CONFIG)
    assert after["shuffled"]["decision"] == "refused"
    assert all(after[name]["decision"] == before[name]["decision"] == "promoted" for name in "abc")


def test_holm_asks_more_of_more_segments_and_audiences():
    def trial(name, audience, p):
        gain = {"mean": 0.1, "low": None, "high": 0.2, "p_value": p, "n": 100, "clusters": 30}
        return Trial(name, audience, p, "base", {"base": gain}, 100, 30, 0.05, "")

    alone = decide([trial("a", "none", 0.03)], CONFIG)["a"]
    assert alone["decision"] == "promoted" and "[unbounded, +0.2000]" in alone["reason"]
    crowd = decide([trial("a", "none", 0.03), trial("a", "full", 0.001), trial("c", "none", 0.4)], CONFIG)
    assert {name: (found["audiences"], {a: round(p, 6) for a, p in found["p_holm"].items()})
            for name, found in crowd.items()} == {
        "a": (["full"], {"none": 0.06, "full": 0.003}), "c": ([], {"none": 0.4})}
    unjudged = decide([trial("a", "none", 0.03), no_trial("b", "none", "no shots"), no_trial("a", "full", "too few")], CONFIG)
    assert unjudged["a"]["audiences"] == ["none"]  # what was never tested costs nothing


def test_a_trial_survives_its_record():
    trial = judged(**ALL)
    assert Trial(**trial.to_dict()) == trial
