"""From the stages' artefacts to a bundle and its verdict; and a shop in a script the encoder does not know."""

import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.closed_form import Strengths
from recsys_core.adaptation.family import make_family
from recsys_core.adaptation.items import ItemPrior
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import file_hash, read_json, write_json
from recsys_core.deployment.build import build_bundle
from recsys_core.deployment.champion import judge_bundle
from recsys_core.deployment.gates import BundleGateConfig, show_gain
from recsys_core.deployment.manifest import write_manifest
from recsys_core.deployment.searching import read_search
from recsys_core.errors import BundleError
from recsys_core.evaluation.summary import Evidence, make_results
from recsys_core.interactions.knots import KNOTS
from recsys_core.monitoring.golden import self_test
from recsys_core.oversight import FairnessSpec
from recsys_core.promotions.table import make_promotions
from recsys_core.promotions.weights import PromotionWeights
from recsys_core.schema import RAW_PROMOTIONS, RAW_SHELVES
from recsys_core.serving import Bundle
from tests.adaptation.built import EVALUATION, based, built_shop, learn_of
from tests.shops import DEPARTMENTS

CHINESE = [
    "钢制", "陶瓷", "竹制", "玻璃", "搪瓷", "马克杯", "平底锅", "砧板", "茶壶", "搅拌碗", "锅铲",
    "赤陶", "镀锌", "太阳能", "橡木", "紫铜", "花盆", "喂鸟器", "灯笼", "长凳", "浇水壶", "花架",
    "毛绒", "塑料", "木制", "磁性", "纸板", "火车", "恐龙", "积木", "娃娃屋", "赛车", "拼图",
    "再生纸", "皮革", "花卉", "条纹", "复古", "笔记本", "铅笔盒", "礼品卡", "台历", "信封套装", "书签"]
WORDS = [word for _, materials, products in DEPARTMENTS.values() for word in (*materials, *products)]


@pytest.fixture(scope="module")
def built():
    return built_shop()


def test_what_a_search_was_learned_from_is_read_again(built, tmp_path):
    assert built.search.about["queries"] > 0 and 0 < built.search.config.least_meaning < 1
    write_json(tmp_path / "search.json", {"config": built.search.config.model_dump(), "about": built.search.about,
                                           "judged": built.search.judged})
    assert read_search(tmp_path) == built.search


@pytest.fixture(scope="module")
def chinese(built, tmp_path_factory):
    """The planted shop with Chinese titles on the encoder that knows its English words: base, results, bundle."""
    root = tmp_path_factory.mktemp("chinese")
    titles = (built.items["title"].str.to_lowercase().str.replace_many(WORDS, CHINESE, leftmost=True)
              .str.replace_all(" ", ""))
    shop = SimpleNamespace(items=built.items.with_columns(title=titles, text=titles), tables=built.tables,
                           plan=built.plan)
    base = based(root / "base", root, shop, built.encoder)
    tables, _ = built.tables, built.results  # the report's student is made with it
    config = built.shop.config.model_copy(update={"segments": (), "families": (), "segment_order": ()})
    study = Study(base, tables["interactions"], tables["segment_events"].clear(), ())
    evidence = Evidence(built.encoder.folder, built.root / "student", built.root / "search_model", built.root / "tasks", {},
                        tables["exposures"], {})
    results = make_results(study, evidence, config, "full", EVALUATION)
    build_bundle(root / "bundle", study=study, student=built.root / "student", adapters={}, results=results,
                 shop=config, users=None, lineage={}, search=learn_of(base, built.root, root / "search_model"))
    return SimpleNamespace(base=base, results=results, bundle=Bundle.load(root / "bundle"))


def test_unknown_texts_are_told_apart_by_their_pieces_under_another_lock(built, chinese):
    catalogue = chinese.base.catalogue
    assert chinese.base.summary["unknown_share"] == 1.0 and not chinese.base.reads_texts
    assert len({row.tobytes() for row in catalogue.vectors.round(4)}) > 100
    row = catalogue.row_of
    near = catalogue.item_vectors @ catalogue.item_vectors[row["T02"]]
    assert near[row["T08"]] > 0.2 > near.mean()  # both are building blocks
    differs = [key for key, value in built.base.lock.items() if chinese.base.lock[key] != value]
    assert differs == ["encoder"]


def test_the_report_says_that_the_texts_are_unknown(built, chinese):
    assert sum("unknown to the text encoder" in note for note in chinese.results.notes) == 1
    assert "100% of the item texts' words" in " ".join(chinese.results.notes)
    assert not any("unknown" in note for note in built.results.notes)


def test_search_in_an_unknown_script_goes_by_words_and_popularity_alone(chinese):
    bundle = chinese.bundle
    title = bundle.catalogue.items["title"][bundle.catalogue.row_of["T02"]]
    answers = bundle.search(title, k=120)
    assert answers[0].item_id == "T02" and answers[0].reasons["words"] > 0
    assert set().union(*(answer.reasons for answer in answers)) == {"words", "popularity"}
    assert "taste" in bundle.search(title, history=["K00"])[0].reasons
    assert "encoder" not in vars(bundle.parts)  # its runtime was never started
    lost = bundle.search("鲸鱼", k=2)
    assert lost[0].fallback.endswith("ranked without it") and set(lost[0].reasons) == {"popularity"}


@pytest.fixture(scope="module")
def bundle(built, tmp_path_factory):
    return build(built, tmp_path_factory.mktemp("planted") / "bundle", built.results)


def build(built, folder, results, **given) -> Bundle:
    build_bundle(folder, study=built.study, student=built.root / "student", results=results, shop=built.shop.config,
                 users=built.shop.users, lineage={}, search=built.search, **{"adapters": built.adapters(), **given})
    return Bundle.load(folder)


def test_a_shop_in_the_encoders_own_words_is_untouched(built, bundle):
    assert built.base.summary["unknown_share"] < 0.1 and built.base.reads_texts
    assert bundle.manifest["search"] == built.search.config.model_dump()
    assert bundle.manifest["lineage"]["search"] == built.search.about
    assert "text" in bundle.search("wooden train")[0].reasons


def test_every_segment_and_family_has_a_route_and_the_promoted_ones_ship(built, bundle):
    decided = {segment.name: segment for segment in built.results.segments}
    assert set(bundle.segments) == set(decided)
    for name, route in bundle.segments.items():
        assert route["audiences"] == decided[name].audiences and route["reason"] == decided[name].reason
    assert set(bundle.parts.families) == {name for name, found in decided.items() if found.audiences}
    toys, region, nobody = (bundle.segments[name] for name in ("toys", "region", "nobody"))
    assert toys["candidates"] == "(items.department = 'Toys')" and toys["asked"] == "true"
    assert nobody["asked"] == "(users.region = 'atlantis')" and region["by"] == "users.region"
    assert 0.25 < region["share"] < 0.4  # of three regions
    assert bundle.manifest["context"] == ["scene"] and bundle.manifest["promotions"] == []


def test_promotions_ship_where_they_serve_somebody(built, tmp_path):
    catalogue, place = built.base.catalogue, built.base.folder / "promotions"
    table = pl.DataFrame([(catalogue.item_ids[0], None, None, "display", None)], schema=RAW_PROMOTIONS, orient="row")
    try:
        PromotionWeights(make_promotions(table, catalogue), np.ones((len(KNOTS), 2), np.float32)).save(place)
        for audiences, shipped in ((["full"], ["promoted_display", "usually_display"]), ([], [])):
            write_json(place / "judged.json", {"audiences": audiences})
            bundle = build(built, tmp_path / str(len(audiences)), built.results, promotions=table)
            assert bundle.manifest["promotions"] == shipped
    finally:
        shutil.rmtree(place)


def test_a_family_is_served_by_what_the_bundle_knows_of_its_shoppers(built, tmp_path):
    strengths = Strengths((None,) * len(built.base.catalogue.groups), None, ItemPrior(30.0, 0.0))
    made = make_family(built.study, "region", built.plan["base"].report_end, strengths, np.ones(7))
    made.save(tmp_path / "region" / "family")
    change = {"decision": "promoted", "audiences": ["none"]}
    promoted = [segment.model_copy(update=change if segment.name == "region" else {}) for segment in built.results.segments]
    own = pl.DataFrame([("picks", "K00", None, None)], schema=RAW_SHELVES, orient="row")
    bundle = build(built, tmp_path / "bundle", built.results.model_copy(update={"segments": promoted}), shelves=own,
                   adapters={**built.adapters(), "region": tmp_path / "region"})
    user, region = built.shop.users.select("user_id", "region").row(0)
    known, told = (bundle.recommend([], segment="region", **given) for given in ({"user_id": user}, {"user": {"region": region}}))
    assert [a.score for a in known] == [a.score for a in told] and known[0].segment == "region"
    assert bundle.recommend(["K00"] * 9, segment="region", user_id=user)[0].segment is None
    assert bundle.parts.families["region"].trust[1:].tolist() == [0.0] * 6
    assert [a.item_id for a in bundle.recommend([], shelf="picks")] == ["K00"]
    assert self_test(bundle) == []


def test_the_base_is_judged_on_the_gate_window_as_it_was_there(built, bundle):
    config = BundleGateConfig()
    first = judge_bundle(built.study, bundle.folder, None, EVALUATION, config)
    assert 0 < first.metrics["ndcg@10"] < 1 and len(first.verdict.reasons) == len(config.baselines) + 2
    assert any("the floor is" in reason for reason in first.verdict.reasons) and first.champion == ""
    again = judge_bundle(built.study, bundle.folder, bundle.folder, EVALUATION, config)
    assert again.metrics == first.metrics  # and against itself it loses nothing
    assert any(reason.startswith("holds against the champion") for reason in again.verdict.reasons)
    assert any(reason.startswith("not proven worse than the champion in any of ") for reason in again.verdict.reasons)
    assert again.champion == file_hash(bundle.folder / "manifest.json") and again.relapse == ""


def changed(bundle, folder, factor: float):
    """A copy of a bundle whose ranker's weights are multiplied; its files fit its manifest."""
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(bundle.folder, folder)
    path = copy / "ranker" / "ranker.safetensors"
    arrays = load_file(path)
    save_file({**arrays, "weights": arrays["weights"] * np.float32(factor)}, path)
    write_manifest(copy, {key: value for key, value in bundle.manifest.items() if key not in ("files", "versions", "format")})
    return copy


def test_a_champion_that_ranks_worse_than_its_predecessor_has_relapsed(built, bundle, tmp_path):
    bad, config = changed(bundle, tmp_path / "bad", -1.0), BundleGateConfig()
    found = judge_bundle(built.study, bundle.folder, bad, EVALUATION, config, predecessor=bundle.folder)
    assert found.relapse.startswith("worse than its predecessor") and found.gains["champion"].low > 0
    assert (found.champion, found.predecessor) == tuple(file_hash(one / "manifest.json") for one in (bad, bundle.folder))
    compared = f"against the champion {show_gain(found.gains['predecessor'])}"  # with the one that comes back
    assert any(compared in reason for reason in found.verdict.reasons)
    better = judge_bundle(built.study, bundle.folder, bundle.folder, EVALUATION, config, predecessor=bad)
    assert better.relapse == ""


def test_groups_too_far_apart_hold_a_bundle_on_the_gate_rows(built, bundle):
    columns = FairnessSpec(users=("region",), items=("department",))
    limits = columns.model_copy(update={"exposure_gap": 1e-6})
    free, tight = (judge_bundle(built.study, bundle.folder, None, EVALUATION, BundleGateConfig(), fairness=spec).verdict.reasons
                   for spec in (columns, limits))
    assert not any("exposure lacks" in reason for reason in free) and any("exposure lacks" in reason for reason in tight)


def test_a_bundle_that_answers_otherwise_than_trained_is_not_promoted(built, bundle, tmp_path):
    """Its files fit its manifest; only the training side's answers tell that they are others."""
    copy = changed(bundle, tmp_path / "copy", 1.1)
    good, bad = (judge_bundle(built.study, folder, None, EVALUATION, BundleGateConfig()).verdict
                 for folder in (bundle.folder, copy))
    assert "answers its golden requests as trained" in good.reasons
    assert bad.outcome == "broken"
    assert bad.reasons[0].startswith("golden request 0 (0 known events) is answered differently: item ")


def test_golden_requests_are_real_ones_that_name_nobody(built, bundle):
    golden = read_json(bundle.folder / "golden.json")
    requests = [one["request"] for one in golden]
    asked = {len({event["timestamp"] for event in r["history"]}) for r in requests if r.get("history") and "at" in r}
    assert {0, *asked} >= {0, 2} and any(steps >= 5 for steps in asked)  # every audience
    promoted = {name: route["audiences"] for name, route in bundle.segments.items() if route["audiences"]}
    assert {r["segment"] for r in requests if "segment" in r} == set(promoted) and any("query" in r for r in requests)
    users, told = set(built.study.events.user_ids), str(requests)
    assert not any(f"'{user}'" in told for user in users)
    assert all(len(event["timestamp"]) == len("2024-03-01") for r in requests for event in r.get("history", ())
               if isinstance(event, dict))


def test_the_manifest_and_the_card_say_where_it_comes_from(built, bundle):
    assert {"shop", "first_day", "last_day", "commit"} <= set(bundle.manifest["lineage"])
    assert bundle.manifest["licences"]["code"] == "Apache-2.0"
    card = (bundle.folder / "README.md").read_text("utf-8")
    assert all(f"| {name} |" in card for name in bundle.segments)


def test_a_shop_without_times_gets_golden_requests_without_times(built, tmp_path):
    untimed = built.shop.config.model_copy(update={"order_only": True})
    refused = {"decision": "refused", "audiences": []}  # a shop without times has no scenes
    segments = [one.model_copy(update=refused) if one.kind == "scene" else one for one in built.results.segments]
    build_bundle(tmp_path / "bundle", study=built.study, student=built.root / "student", adapters=built.adapters(),
                 results=built.results.model_copy(update={"segments": segments}), shop=untimed, users=built.shop.users,
                 lineage={}, search=built.search)
    requests = [one["request"] for one in read_json(tmp_path / "bundle" / "golden.json")]
    assert not any("at" in request or "timestamp" in str(request) for request in requests)
    assert {min(len(request["history"]), 5) for request in requests if "history" in request} >= {0, 2, 5}
    bundle = Bundle.load(tmp_path / "bundle")
    assert sum(bundle.parts.reference["counts"]["all"]["history"]) > 0


def test_a_student_of_another_encoder_is_refused(built, tmp_path):
    student = shutil.copytree(built.root / "student", tmp_path / "student")
    about = read_json(student / "student" / "student.json")
    write_json(student / "student" / "student.json", about | {"teacher": about["teacher"] | {"weights": "0" * 64}})
    with pytest.raises(BundleError, match="another encoder"):
        build_bundle(tmp_path / "bundle", study=built.study, student=student, adapters=built.adapters(), results=built.results,
                     shop=built.shop.config, users=built.shop.users, lineage={}, search=built.search)
    assert not (tmp_path / "bundle").exists()
