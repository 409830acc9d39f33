"""A shop in a script the encoder does not know: the report says so, and search goes by words."""

from types import SimpleNamespace

import pytest

from recsys_core.adaptation.study import Study
from recsys_core.deployment.build import build_bundle
from recsys_core.evaluation.summary import Evidence, make_results
from recsys_core.serving import Bundle
from recsys_core.serving.search import SearchConfig
from tests.adaptation.built import ADAPTATION, EVALUATION, based, built_shop
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


@pytest.fixture(scope="module")
def chinese(built, tmp_path_factory):
    """The planted shop with Chinese titles on the encoder that knows its English words: base, results, bundle."""
    root = tmp_path_factory.mktemp("chinese")
    titles = (built.items["title"].str.to_lowercase().str.replace_many(WORDS, CHINESE, leftmost=True)
              .str.replace_all(" ", ""))
    shop = SimpleNamespace(items=built.items.with_columns(title=titles, text=titles), tables=built.tables,
                           plan=built.plan)
    base = based(root / "base", root, shop, built.encoder)
    tables, config = built.tables, built.shop.config.model_copy(update={"segments": (), "segment_order": ()})
    study = Study(base, tables["interactions"], tables["segment_events"].clear(), ADAPTATION.shots)
    evidence = Evidence(built.encoder.folder, built.root / "student", {}, tables["exposures"], {})
    results = make_results(study, evidence, config, "full", EVALUATION, {})
    build_bundle(root / "bundle", study=study, student=built.root / "student", adapters={}, results=results,
                 shop=config, users=None, lineage={})
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
    assert "100% of the item texts' tokens" in " ".join(chinese.results.notes)
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


def test_a_shop_in_the_encoders_own_words_is_untouched(built, tmp_path):
    build_bundle(tmp_path / "bundle", study=built.study, student=built.root / "student", adapters=built.adapters(),
                 results=built.results, shop=built.shop.config, users=built.shop.users, lineage={})
    bundle = Bundle.load(tmp_path / "bundle")
    assert built.base.summary["unknown_share"] < 0.1 and built.base.reads_texts
    assert bundle.manifest["search"] == SearchConfig().model_dump()
    assert "text" in bundle.search("wooden train")[0].reasons
