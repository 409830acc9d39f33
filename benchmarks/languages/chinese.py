"""Search in a shop that speaks Chinese: planted queries on a planted catalogue, and the same queries on its English translation.

216 items (`tests/chinese_shop.py`): 72 products in three variants each. The 50 queries were written before they were measured,
and none is a title. In 15 the words of the title stand in another order or some are missing (`partial`). In 20 the product has
another name than in the catalogue (`synonym`). In 15 its use is described (`described`). A query names a variant or not: right is
every item of its product, and of its variant where it names one. One hand wrote queries and catalogue, so they share characters,
and words alone answer nearly all. So 35 queries more (`strange`, outside the bar) share no two neighbouring characters with any
item that answers them. The shop has no events and no judgments: search weights are learned from queries made of the catalogue.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.record import Bar
from recsys_core.cleaning import clean_items
from recsys_core.deployment import learn_search
from recsys_core.distillation import StudentConfig, build_student
from recsys_core.interactions import Catalogue
from recsys_core.metrics import paired_bootstrap
from recsys_core.retrieval import SearchConfig, build_lexical, clean_query, query_parts
from recsys_core.schema import JUDGMENTS
from recsys_core.serving import STUDENT
from recsys_core.student import ONNX, OnnxEncoder, load_student
from recsys_core.text_encoder import MULTILINGUAL, EncoderConfig, VectorCache, cached_encode, load_encoder
from tests.chinese_shop import chinese_items

# Kind → query → the item ids that answer it begin so.
QUERIES: dict[str, dict[str, str]] = {
    "partial": {
        "马克杯 白色": "A00-0", "红色炒锅": "A02-2", "杯子 不锈钢 保温 黑": "A01-1", "男 T恤 纯棉": "B00-0", "围巾 女": "B04-1",
        "绿茶龙井 礼盒": "C00-2", "家庭装大米": "C03-1", "迷你耳机 蓝牙": "D00-2", "数据线usb-c 标准": "D02-1",
        "窗帘 遮光 灰": "E02-1", "毛毯 绿色": "E05-2", "木制积木": "F02-0", "拼图 磁性 地图": "F05-2", "赛车 遥控": "F04",
        "保鲜盒 红色 密封": "A08-2"},
    "synonym": {
        "烧水壶": "A05", "切菜板": "A03", "厨房秤": "A10", "碗架": "A11", "水杯 白色 陶瓷": "A00-0", "女式羽绒外套": "B01-1",
        "儿童球鞋": "B03-2", "男士皮带": "B08-0", "毛线衣 女士": "B10-1", "睡觉穿的衣服": "B06", "鲜奶": "C01", "泡面": "C10",
        "瓶装水": "C11", "充电宝": "D01", "手表 可以测心跳": "D05", "吸尘器机器人": "D09", "电扇": "D07", "雨伞 蓝": "E06-0",
        "积木玩具 塑料拼装": "F02-1", "垃圾箱": "E11"},
    "described": {
        "上班喝咖啡的杯子": "A00", "炒菜不粘的锅": "A02", "泡茶用的壶": "A04", "冬天女生穿的保暖衣服": "B01-1",
        "爬山穿的防雨外套": "B05", "夏天防晒戴的帽子": "B07", "骑车戴的保暖手套": "B11", "早上喝的牛奶": "C01",
        "孩子吃的海苔": "C07", "困了喝的咖啡": "C06", "写作业用的台灯": "D11", "头发吹干的": "D08", "午睡盖的毯子": "E05",
        "点了有香味的蜡烛": "E07", "会跑的火车玩具": "F00"},
    "strange": {
        "案板": "A03", "烧开水": "A05", "削皮小刀": "A07", "饭盒": "A08", "研磨器": "A09", "碗碟架": "A11",
        "汗衫 男": "B00-0", "鸭绒大衣 女": "B01-1", "单宁裤子": "B02", "球鞋 男": "B03-0", "皮带": "B08",
        "毛线衫 男": "B10-0", "睡觉穿的衣服": "B06", "鲜奶": "C01", "泡面": "C10", "瓶装水": "C11", "充电宝": "D01",
        "吸尘器": "D09", "被单": "E00", "废纸篓": "E11", "给孩子练字用的灯": "D11", "把湿头发弄干": "D08",
        "盖着睡觉的毯": "E05", "点燃后很香": "E07", "看几点了": "E09", "下雨爬山穿": "B05", "太阳大戴头上": "B07",
        "冬天手冷戴": "B11", "没睡醒想喝点苦的": "C06", "拌沙拉的油": "C08", "听歌不吵别人": "D00",
        "能用手柄控制的跑车": "F04", "教宝宝认省的": "F05", "地上不滑倒洗澡用": "E03", "放衣服的盒子": "E04"}}
GOAL = ("chinese.search_hit1", ">=", 0.8)
SERVED, JUDGED = "as served", ("partial", "synonym", "described")
Hits = dict[str, list[bool]]


def measure(_: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables; no bundle is needed."""
    rows, found = [], {}
    for language, english in (("Chinese", False), ("English", True)):
        for way, search in _searches(english).items():
            hits = {kind: np.array([search(query).startswith(wanted) for query, wanted in asked.items()])
                    for kind, asked in QUERIES.items()}
            found[language, way] = hits
            every = np.concatenate([hits[kind] for kind in JUDGED])
            rows.append({"catalogue": language, "search": way, "hit@1": float(every.mean()),
                         **{kind: float(one.mean()) for kind, one in hits.items()}})
    served, crossed = (np.concatenate([found[language, SERVED][kind] for kind in JUDGED]) for language in ("Chinese", "English"))
    strange = found["Chinese", SERVED]["strange"]
    return [_bar(*GOAL, served, "reordered or partial, other names, described uses; 216 items"),
            _bar("chinese.strange_hit1", ">=", 0, strange, "no two neighbouring characters shared with an answer; no goal"),
            _bar("chinese.cross_lingual_hit1", ">=", 0, crossed, "the 50 queries, the catalogue in English; no goal")
            ], {"Chinese queries, hit@1": rows}


def _bar(name: str, comparison: str, goal: float, hits: np.ndarray, note: str) -> Bar:
    found = paired_bootstrap(hits.astype(float), np.arange(len(hits)), np.random.default_rng(0))
    return Bar(name, found.mean, comparison, goal, found.low, found.high, found.n, note)


def _searches(english: bool) -> dict[str, Callable[[str], str]]:
    """Way of searching → the best item's id for a query, over the catalogue in one language."""
    items = clean_items(pl.DataFrame(chinese_items(english)))
    teacher = load_encoder(EncoderConfig(model=MULTILINGUAL, dtype="float32", device="cpu"))
    texts = items["text"].unique().sort().to_list()
    row_of = {text: row for row, text in enumerate(texts)}
    text_of_item = np.array([row_of[text] for text in items["text"]], np.int32)
    with tempfile.TemporaryDirectory() as work:
        cache = VectorCache(Path(work) / "vectors")
        catalogue = Catalogue(items, text_of_item, cached_encode(teacher, texts, cache))
        build_student(Path(work) / "student", teacher, items, [], StudentConfig(), 0, cache)
        folder = Path(work) / "student" / STUDENT
        encoder, reader = load_student(folder), OnnxEncoder.load(folder / ONNX)
        lexical = build_lexical(items, text_of_item)
        nobody = pl.DataFrame(schema=JUDGMENTS)
        config = learn_search(catalogue, np.zeros(len(items), np.float32), encoder, reader, lexical, nobody, nobody, {}).config

    def best(settings: SearchConfig, meaning: Any, query: str) -> str:
        scores = query_parts(clean_query(query), catalogue.vectors, meaning, lexical, settings).scores
        return str(catalogue.item_ids[int(np.argmax(scores[lexical.documents.of_item]))])

    only = {"words": config.model_copy(update={"text": 0.0}), "meaning": config.model_copy(update={"words": 0.0})}
    return {SERVED: partial(best, config, encoder), "words alone": partial(best, only["words"], None),
            "meaning alone": partial(best, only["meaning"], encoder),
            "frozen encoder alone": partial(best, only["meaning"], teacher)}
