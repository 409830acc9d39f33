"""Judging per audience: planted stores pay where they should, noise does not, and leaks block."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.family import make_family
from recsys_core.artefacts import folder_hash, read_json, write_json
from recsys_core.errors import LeakageError
from recsys_core.evaluation.gate import AUDIENCES, GateConfig, Trial, decide
from recsys_core.evaluation.judging import judge_segments, load_incumbent
from recsys_core.evaluation.leakage import Certificate
from recsys_core.evaluation.segments import EvaluationConfig, SegmentJudge, serves_instead
from recsys_core.interactions.knots import known_steps
from tests.evaluation.planted import LOCK, STIFF, about, adaptation, planted_study

NAMES = ["store", "till", "north", "kitchen", "nowhere"]
CONFIG = EvaluationConfig(max_queries=600, family_queries=600, member_queries=900)


@pytest.fixture(scope="module")
def study():
    return planted_study()


def artefacts(study, root, **changes):
    """name → folder with the segment.json of an adapter made from its shots."""
    found = {}
    for name in NAMES:
        found[name] = root / "adapters" / name
        found[name].mkdir(parents=True)
        own = {"method": "base", "reason": "no adapter: 0 shots"} if name == "nowhere" else {}
        write_json(found[name] / "segment.json", about(study, name, **own | changes))
    return found


def judge_all(study, root, names=tuple(NAMES), bundle=None, **changes) -> dict[str, dict]:
    folders = {name: root / "evaluations" / name for name in names}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return judge_segments(folders, study, artefacts(study, root, **changes), bundle or root / "champion", CONFIG,
                          order_only=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def judged(study, root):
    return judge_all(study, root)


def decisions(judged) -> dict[str, dict]:
    return decide([Trial(**one["trial"]) for found in judged.values() for one in found["audiences"].values()], GateConfig())


def test_stores_pay_where_base_and_shots_are_better_than_either_and_the_report_agrees(judged):
    decided, found = decisions(judged)["store"], judged["store"]["audiences"]
    assert decided["decision"] == "promoted" and decided["audiences"] == ["none", "little", "full"]
    assert list(found) == list(AUDIENCES)
    for audience in decided["audiences"]:
        trial, report = found[audience]["trial"], found[audience]["report"]
        assert set(trial["gains"]) == {"base", "placebo", "segment_popularity", "counting"}
        assert report["questions"] == 600 and report["gain"]["low"] > 0
        assert report["means"]["adapted"] - report["means"]["base"] == pytest.approx(report["gain"]["mean"])


def test_where_a_count_does_as_well_it_is_named(study):
    judge, window = SegmentJudge(study, CONFIG, False), study.window("store")
    trials = judge.try_audiences("store", judge.contest("store", window.gate_start, window.report_start,
                                                        adaptation(study, items=STIFF)))
    assert trials["none"].toughest == "counting" and trials["none"].gains["base"]["low"] > 0
    reason = decide(list(trials.values()), GateConfig())["store"]["reason"]
    assert "shoppers without history: not proven better than counting its shots" in reason


def test_a_till_says_nothing_and_nobody_is_refused(judged):
    decided = decisions(judged)
    assert decided["till"]["decision"] == decided["nowhere"]["decision"] == "refused"
    assert "not proven better than" in decided["till"]["reason"]
    assert decided["nowhere"]["reason"] == "no adapter: 0 shots; the base serves"
    assert judged["nowhere"]["curve"] == judged["nowhere"]["members"] == []


def test_a_page_is_served_by_the_filtered_base(study, judged):
    assert decisions(judged)["kitchen"]["reason"].endswith("the base filtered to the page serves")
    assert serves_instead(study, "kitchen") != serves_instead(study, "north") == serves_instead(study, "store")
    page, whole = (pl.read_parquet(judged[name]["folder"] / "queries.parquet").filter(
        contestant="base", slice="all", audience="none")["hr@10"].mean() for name in ("kitchen", "till"))
    assert page > whole + 0.2  # 36 candidates instead of 144


def test_every_member_of_a_family_is_told(judged):
    members = judged["store"]["members"]
    assert len(members) > 100 and {member["value"] for member in members} <= {f"s{store}" for store in range(120)}
    assert [member["gain"] for member in members] == sorted((m["gain"] for m in members), reverse=True)
    assert all(0 < member["questions"] <= 10 and member["shots"] > 10 for member in members)
    assert judged["north"]["members"] == []


def test_the_curve_grows_and_ends_at_what_the_report_says(judged):
    curve, report = judged["store"]["curve"], judged["store"]["audiences"]["none"]["report"]
    assert [point["k"] for point in curve][:3] == [4, 16, 64] and curve[-1]["k"] > 64
    assert curve[-1]["gain"]["mean"] == pytest.approx(report["gain"]["mean"])
    assert curve[0]["gain"]["mean"] < curve[2]["gain"]["mean"]


def test_the_questions_are_cut_to_what_the_audience_knows(study):
    judge, window = SegmentJudge(study, CONFIG, False), study.window("store")
    questions = judge.contest("store", window.gate_start, window.report_start, None).questions
    assert len(questions) == 600
    steps = {audience: known_steps(questions.for_audience(audience).histories) for audience in AUDIENCES}
    assert not steps["none"].any() and set(steps["little"]) == {1, 2, 4} and steps["full"].max() > 8


def test_shoppers_never_answer_their_own_questions(study):
    """Whoever is asked may have shopped there before: other shots of theirs must not change any contestant but the base."""
    judge, window = SegmentJudge(study, CONFIG.model_copy(update={"max_queries": 20}), False), study.window("north")
    made = adaptation(study)
    before = judge.contest("north", window.gate_start, window.report_start, made, made)
    asked = np.unique(before.questions.queries.user)
    assert len(asked) > 5
    one, events = asked[0], study.events
    own = (events.user == one) & (events.timestamp < window.gate_start)
    item = events.item.copy()
    item[own] = 143
    other = planted_study()
    other.events = replace(events, item=item)
    other._bases = study._bases  # the base stays as it was
    after = judge.contest("north", window.gate_start, window.report_start, made, made)
    changed = SegmentJudge(other, judge.config, False).contest("north", window.gate_start, window.report_start, made, made)
    row = np.flatnonzero(before.questions.queries.user == one)
    for name in ("adapted", "placebo", "incumbent", "segment_popularity", "counting"):
        same, found = (c.contests["none"][name]["all"]["mrr@10"][row] for c in (after, changed))
        np.testing.assert_array_equal(same, found)
    others = np.flatnonzero(before.questions.queries.user != one)
    assert not np.array_equal(changed.contests["none"]["counting"]["all"]["mrr@10"][others],
                              after.contests["none"]["counting"]["all"]["mrr@10"][others]) or len(row) == len(before.questions)


def test_shots_of_the_window_asked_about_change_nothing(study):
    judge, window = SegmentJudge(study, CONFIG, False), study.window("store")
    item = study.events.item.copy()
    late = study.events.timestamp >= window.report_start
    item[late] = np.random.default_rng(0).permutation(item[late])
    other = planted_study()
    other.events, other._bases = replace(study.events, item=item), study._bases
    found = [one.contest("store", window.gate_start, window.report_start, adaptation(study)).contests
             for one in (judge, SegmentJudge(other, CONFIG, False))]
    for audience in AUDIENCES:
        np.testing.assert_array_equal(*(f[audience]["adapted"]["all"]["ndcg@10"] for f in found))


def test_nobody_asked_is_no_evidence(study):
    judge, start = SegmentJudge(study, CONFIG, False), study.window("store").gate_start
    nothing = judge.contest("store", start, start, adaptation(study), adaptation(study))
    assert len(nothing.questions) == 0 and list(nothing.contests) == list(AUDIENCES)
    assert all("no evidence: 0 gate questions" in trial.reason for trial in judge.try_audiences("store", nothing).values())


def test_trust_decides_where_an_adapter_counts(study):
    judge, window = SegmentJudge(study, CONFIG, False), study.window("store")
    contests = judge.contest("store", window.gate_start, window.report_start, adaptation(study, (1, 0, 0, 0, 0, 0, 0))).contests
    adapted, base = (contests["little"][name]["all"]["ndcg@10"] for name in ("adapted", "base"))
    np.testing.assert_array_equal(adapted, base)
    assert contests["none"]["adapted"]["all"]["ndcg@10"].mean() > contests["none"]["base"]["all"]["ndcg@10"].mean() + 0.03


def test_judging_again_finds_the_same(study, judged, tmp_path):
    judge_all(study, tmp_path, ["store"])
    assert folder_hash(tmp_path / "evaluations" / "store") == folder_hash(judged["store"]["folder"])
    assert read_json(judged["store"]["folder"] / "evaluation.json") == {
        key: value for key, value in judged["store"].items() if key != "folder"}


def test_the_certificate_names_what_was_compared(judged):
    certificate = Certificate.from_json(judged["store"]["certificate"])
    assert certificate.holds and certificate.temporal == "certified"
    names = {check.name for check in certificate.checks}
    assert {f"{kind} of training and {at}" for kind in ("rows", "sessions") for at in ("trust", "gate", "report")} <= names
    assert {"training before gate", "training before report", "feature text encoder before trust"} <= names


def test_a_base_that_has_seen_the_window_blocks_its_segment_only(study, tmp_path):
    late, window = planted_study(), study.window("store")
    ranker, prior = late.base_at(window.gate_start)
    ranker.counts.newest = window.report_start
    late._bases = {window.gate_start: (ranker, prior)}
    with pytest.raises(LeakageError, match=r"training before gate: .*gate row"):
        SegmentJudge(late, CONFIG, False).certify("store", window).raise_if_broken()


def test_the_incumbent_is_a_rival_and_an_equal_one_keeps_its_place(study, tmp_path):
    made, window = adaptation(study), study.window("store")
    make_family(study, "store", window.report_end, made.strengths, made.trust).save(tmp_path / "bundle" / "families" / "store")
    incumbent = load_incumbent(tmp_path / "bundle", "store", LOCK)
    assert incumbent.strengths == made.strengths and incumbent.trust.tolist() == made.trust.tolist()
    assert load_incumbent(tmp_path / "bundle", "till", LOCK) is None
    assert load_incumbent(tmp_path / "bundle", "store", LOCK | {"encoder": "other"}) is None
    again = judge_all(study, tmp_path, ["store"], tmp_path / "bundle")
    assert again["store"]["audiences"]["none"]["trial"]["gains"]["incumbent"]["mean"] == 0
    first = judge_all(study, tmp_path / "first", ["store"], tmp_path / "nowhere")
    assert decisions(again)["store"]["audiences"] == decisions(first)["store"]["audiences"] != []
    (tmp_path / "bundle" / "families" / "store" / "family.json").write_text("{")
    assert load_incumbent(tmp_path / "bundle", "store", LOCK) is None  # a broken one does not stand in the way


def test_an_adapter_of_another_base_blocks_its_own_segment(study, tmp_path):
    judged = judge_all(study, tmp_path, ["store"], lock=LOCK | {"encoder": "other"})
    reason = decisions(judged)["store"]["reason"]
    assert re.match(r"blocked: .*made for another base: encoder is", reason) and reason.endswith("the base serves")


def test_a_segment_without_a_window_is_not_judged(study, tmp_path):
    found = judge_all(study, tmp_path, ["store"], window=None, method="base", reason="no window: too early")["store"]
    assert found["certificate"] is None and found["window"] is None
    assert all(one["report"] is None and one["trial"]["reason"] == "no window: too early" for one in found["audiences"].values())
