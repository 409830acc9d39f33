"""Judging segments on the planted shop: the one that pays is promoted, tampering is blocked, the rest say why not."""

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.segment import JUDGED, make_segment_adapter
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import folder_hash, read_json
from recsys_core.errors import DataError, LeakageError
from recsys_core.evaluation.gate import Trial, decide
from recsys_core.evaluation.segments import SegmentJudge, judge_segments, load_incumbent, summarise
from recsys_core.features.segments import candidate_items
from tests.adaptation.built import ADAPTATION, EVALUATION, SEGMENTS, based, built_shop, folder, tuned


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture(scope="module")
def domains(built):
    return candidate_items(built.base.catalogue.items, built.shop.config.segments)


@pytest.fixture(scope="module")
def judge(built, domains):
    return SegmentJudge(built.study, EVALUATION, domains, order_only=False)


def decisions(judged: dict[str, dict]) -> dict[str, dict]:
    return decide([Trial(**found["trial"]) for found in judged.values()], EVALUATION.gate)


def test_toys_pays_and_is_promoted(built):
    trial = built.judged["toys"]["trial"]
    assert trial["n"] >= 30 and set(trial["gains"]) == {"base", "placebo", "from_scratch", "segment_popularity"}
    assert all(gain["low"] > 0 for gain in trial["gains"].values())
    assert decisions(built.judged)["toys"]["decision"] == "promoted"


def test_noise_is_refused_and_says_what_it_could_not_beat(built):
    found = decisions(built.judged)
    assert found["stationery"]["decision"] == "refused"
    assert "not proven better than" in found["stationery"]["reason"] or "would not predict" in found["stationery"]["reason"]


def test_nobody_has_no_adapter_and_the_reason(built):
    assert decisions(built.judged)["nobody"] == {
        "decision": "refused", "reason": "no adapter: 0 shots, needs 4", "p_holm": 1.0}


def test_the_report_window_confirms_what_the_gate_saw(built):
    report = built.judged["toys"]["report"]
    assert report["gains"]["adapted"]["all"]["low"] > 0
    assert report["gains"]["adapted"]["all"]["mean"] > report["gains"]["placebo"]["all"]["mean"]
    assert report["means"]["adapted"]["all"]["ndcg@10"] - report["means"]["base"]["all"]["ndcg@10"] == pytest.approx(
        report["gains"]["adapted"]["all"]["mean"])
    assert "in_domain" in report["means"]["base"]
    assert "in_domain" not in built.judged["spring-fair"]["report"]["means"]["base"]  # a scene has no items of its own


def test_every_query_is_written_with_its_contestants(built):
    rows = pl.read_parquet(built.root / "evaluations" / "toys" / "queries.parquet")
    window, trial = built.plan["toys"], built.judged["toys"]["trial"]
    gate = rows.filter((pl.col("window") == "gate") & (pl.col("slice") == "all"))
    assert gate["timestamp"].min() >= window.gate_start and gate["timestamp"].max() < window.report_start
    means = dict(gate.group_by("contestant").agg(pl.col("ndcg@10").mean()).iter_rows())
    assert means["adapted"] - means["placebo"] == pytest.approx(trial["gains"]["placebo"]["gain"])
    asked = rows["user"].unique().to_numpy()
    assert not built.study.support_users[asked].any()


def test_every_judged_segment_carries_a_certificate_that_holds(built):
    for name in SEGMENTS:
        certificate = built.judged[name]["certificate"]
        assert certificate["holds"] and certificate["temporal"] == "certified"
    checks = {check["name"] for check in built.judged["toys"]["certificate"]["checks"]}
    assert {"training before support", "support before gate", "gate before report", "feature text encoder before gate",
            "rows of training and report", "shots inside the support window",
            "shots of users who are never asked"} <= checks


def tampered(built, tmp_path, pick) -> dict:
    """The toys' artefact with one judged shot replaced by an event that `pick` chooses from the interactions."""
    shutil.copytree(built.adapters()["toys"], tmp_path / "toys")
    shots = pl.read_parquet(tmp_path / "toys" / "shots.parquet")
    second = pl.col("timestamp").dt.epoch("s")
    support = [user for user, side in zip(built.study.events.user_ids, built.study.support_users, strict=True) if side]
    toys = built.tables["interactions"].filter(pl.col("item_id").str.starts_with("T")).with_columns(
        second=second, supports=pl.col("user_id").is_in(support))
    event = toys.filter(pick).sort("timestamp").row(-1, named=True)
    shots = shots.with_columns(event_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(event["event_id"])).otherwise(
        pl.col("event_id")))
    shots.write_parquet(tmp_path / "toys" / "shots.parquet")
    return event


def test_one_future_event_in_the_support_set_is_blocked(built, judge, tmp_path):
    window = built.plan["toys"]
    event = tampered(built, tmp_path, (pl.col("second") >= window.gate_start) & pl.col("supports"))
    with pytest.raises(LeakageError, match="support before gate") as error:
        judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)
    row = built.tables["interactions"]["event_id"].to_list().index(event["event_id"])
    assert f"support row {row}" in str(error.value)
    assert not any((tmp_path / "out").iterdir())


def test_a_shot_after_the_cut_off_is_blocked_even_if_nobody_was_asked_before_it(built, judge):
    """No gate query lies before the shot, so that comparing the rows alone would not notice."""
    window = built.plan["toys"]
    shots = judge._shots(built.adapters()["toys"])
    late = shots.queries.timestamp.copy()
    late[0] = window.gate_start
    moved = replace(shots, queries=replace(shots.queries, timestamp=late))
    certificate = judge.certify("toys", window, np.zeros(len(built.study.events), bool), moved)
    assert not certificate.holds and certificate.temporal == "broken"
    with pytest.raises(LeakageError, match="shots inside the support window: 1 of 32"):
        certificate.raise_if_broken()


def test_a_shot_the_base_was_trained_on_is_blocked(built, judge, tmp_path):
    tampered(built, tmp_path, (pl.col("second") < built.plan["toys"].support_start) & pl.col("supports"))
    with pytest.raises(LeakageError, match="rows of training and support: 1 in common"):
        judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)


def test_a_shot_of_a_user_who_is_asked_is_blocked(built, judge, tmp_path):
    window = built.plan["toys"]
    tampered(built, tmp_path, pl.col("second").is_between(window.support_start, window.gate_start - 1)
             & ~pl.col("supports"))
    with pytest.raises(LeakageError, match="shots of users who are never asked: 1 of 32"):
        judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)


def test_a_shot_that_never_happened_is_an_error(built, judge, tmp_path):
    shutil.copytree(built.adapters()["toys"], tmp_path / "toys")
    shots = pl.read_parquet(tmp_path / "toys" / "shots.parquet")
    shots.with_columns(event_id=pl.col("event_id") + "?").write_parquet(tmp_path / "toys" / "shots.parquet")
    with pytest.raises(DataError, match="32 of 32 shots are no positive events"):
        judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)


def test_one_segments_shuffled_labels_refuse_that_one_only(built, domains, tmp_path):
    """The items of the toys' support events are shuffled over the whole shop, and the segment judged again."""
    window = built.plan["toys"]
    member = built.study.member("toys")
    study = Study(built.base, built.tables["interactions"], built.tables["segment_events"], ADAPTATION.shots)
    inside = member & (study.events.timestamp >= window.support_start) & (study.events.timestamp < window.gate_start)
    item = study.events.item.copy()
    item[inside] = np.random.default_rng(0).integers(0, len(built.base.catalogue), inside.sum())
    study.events = replace(study.events, item=item)
    make_segment_adapter(folder(tmp_path / "toys"), study, "toys", window, ADAPTATION)
    adapters = built.adapters() | {"toys": tmp_path / "toys"}
    again = judge_segments({"toys": folder(tmp_path / "out")}, built.study, adapters, domains, tmp_path / "champion",
                           EVALUATION, order_only=False)
    before, after = decisions(built.judged), decisions(built.judged | again)
    assert before["toys"]["decision"] == "promoted" and after["toys"]["decision"] == "refused"
    assert after["toys"]["reason"]
    assert all(after[name]["decision"] == before[name]["decision"] for name in SEGMENTS if name != "toys")


def test_judging_again_finds_the_same(built, domains, tmp_path):
    judge_segments({"toys": folder(tmp_path / "toys")}, built.study, built.adapters(), domains,
                   tmp_path / "champion", EVALUATION, order_only=False)
    assert folder_hash(tmp_path / "toys") == folder_hash(built.root / "evaluations" / "toys")


def test_shots_drawn_with_another_seed_are_of_the_same_shoppers(built, judge, tmp_path):
    limits = ADAPTATION.shots.model_copy(update={"seed": 5})
    made = make_segment_adapter(folder(tmp_path / "toys"), Study(built.base, built.tables["interactions"],
                                built.tables["segment_events"], limits), "toys", built.plan["toys"],
                                ADAPTATION.model_copy(update={"shots": limits}))
    result = judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)
    assert made["shots"] == 32 and result["certificate"]["holds"]
    assert judge._shots(tmp_path / "toys").rows.tolist() != judge._shots(built.adapters()["toys"]).rows.tolist()


def test_the_incumbent_is_a_rival_and_an_equal_one_keeps_its_place(built, domains, tmp_path):
    shutil.copytree(built.adapters()["toys"] / JUDGED, tmp_path / "bundle" / "adapters" / "toys")
    incumbent = load_incumbent(tmp_path / "bundle", "toys", built.base.lock)
    assert isinstance(incumbent, Adapter)
    assert load_incumbent(tmp_path / "bundle", "stationery", built.base.lock) is None
    assert load_incumbent(tmp_path / "bundle", "toys", built.base.lock | {"encoder": "other"}) is None
    again = judge_segments({"toys": folder(tmp_path / "out")}, built.study, built.adapters(), domains,
                           tmp_path / "bundle", EVALUATION, order_only=False)
    assert again["toys"]["trial"]["gains"]["incumbent"]["gain"] == 0
    assert "incumbent" in decisions(again)["toys"]["reason"]


def test_a_broken_incumbent_does_not_stand_in_the_way(built, tmp_path):
    place = folder(tmp_path / "bundle" / "adapters" / "toys")
    (place / "adapter.json").write_text("{")
    assert load_incumbent(tmp_path / "bundle", "toys", built.base.lock) is None


def test_an_adapter_of_another_base_blocks_its_own_segment_only(built, domains, tmp_path):
    other = tuned(tmp_path, built, seed=1)
    base = based(tmp_path / "base", tmp_path, built, other)
    study = Study(base, built.tables["interactions"], built.tables["segment_events"], ADAPTATION.shots)
    judged = judge_segments({name: folder(tmp_path / name) for name in ("toys", "nobody")}, study, built.adapters(),
                            domains, tmp_path / "champion", EVALUATION, order_only=False)
    assert re.search(r"blocked: .*made for another base: encoder is", judged["toys"]["trial"]["reason"])
    assert decisions(judged)["toys"]["decision"] == "refused"
    assert "blocked" not in judged["nobody"]["trial"]["reason"]


def test_a_segment_without_a_window_is_not_judged(built, judge, tmp_path):
    make_segment_adapter(folder(tmp_path / "toys"), built.study, "toys", None, ADAPTATION)
    found = judge.judge(folder(tmp_path / "out"), "toys", tmp_path / "toys", None)
    assert found["report"] is None and found["certificate"] is None
    assert found["trial"]["reason"].startswith("no window")
    assert read_json(tmp_path / "out" / "evaluation.json") == found


def test_a_summary_skips_what_a_slice_does_not_have(built):
    from recsys_core.base_model.data import make_queries

    start = int(datetime(2024, 4, 8, tzinfo=UTC).timestamp())
    queries = make_queries(built.study.events, start, start + 86_400)
    values = np.linspace(0, 1, len(queries))
    missing = np.full(len(queries), np.nan)
    contest = {"base": {"all": {"m": values}, "repeat": {"m": missing}},
               "adapted": {"all": {"m": values + 0.5}, "repeat": {"m": missing}}}
    found = summarise(queries, contest, "m", np.random.default_rng(0))
    assert found["means"]["base"] == {"all": {"m": pytest.approx(0.5)}, "repeat": {"m": None}}
    assert set(found["gains"]["adapted"]) == {"all"} and found["gains"]["adapted"]["all"]["mean"] == pytest.approx(0.5)
    assert found["targets"] == len(queries.targets) >= found["queries"]
