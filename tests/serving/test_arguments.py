"""Whatever a caller hands over is read in the obvious way, or refused in one sentence."""

import os
from datetime import date, datetime
from decimal import Decimal
from uuid import uuid4

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_core.arguments import read_id, read_list, show
from recsys_core.deployment.bundle import write_bundle
from recsys_core.errors import BundleError, RecsysError, RequestError
from recsys_core.interactions.arrays import Catalogue
from recsys_core.serving import Bundle
from recsys_core.serving.filters import ItemColumns
from tests.serving.tiny import tiny_arguments, tiny_catalogue, use_word_encoder


def ids(answers) -> list[str]:
    return [answer.item_id for answer in answers]


@pytest.mark.parametrize("history", [
    ("k0", "t0"), np.array(["k0", "t0"]), pl.Series(["k0", "t0"]), pd.Series(["k0", "t0"]), [" k0", "t0\n"],
    [np.str_("k0"), "t0"], pl.DataFrame({"item_id": ["k0", "t0"]}), pd.DataFrame({"item_id": ["k0", "t0"]}),
    pd.Index(["k0", "t0"]),
    [{"item_id": "k0", "timestamp": None, "event_type": float("nan")}, {"item_id": "t0", "timestamp": pd.NaT}]])
def test_a_history_in_any_container_is_a_list(bundle, history):
    known, asked = bundle.recommend(["k0", "t0"], k=20), bundle.recommend(history, k=20)
    assert [(a.item_id, a.score) for a in asked] == [(a.item_id, a.score) for a in known] and asked.fallback is None


@pytest.mark.parametrize("history", [None, float("nan"), pd.NA, [], (), np.array([]), pl.Series([], dtype=pl.String)])
def test_no_history_in_any_spelling_is_an_empty_one(bundle, history):
    assert ids(bundle.recommend(history)) == ids(bundle.recommend([])) == bundle.recommend_batch([history])[0][0].tolist()


def test_event_types_are_read_as_in_the_files(bundle):
    typed = [[{"item_id": "k0", "event_type": kind}] for kind in ("add_to_cart", " Add to cart", "ADD-TO-CART")]
    assert len({tuple(a.score for a in bundle.recommend(history)) for history in typed}) == 1


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """The tiny shop with the ids 1, 2, 3 … and the brands "7" and "007"."""
    folder = tmp_path_factory.mktemp("numbered")
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        patch.setattr("tests.serving.tiny.TITLES", {str(n): f"Mug {n}" for n in range(1, 21)})
        patch.setattr("tests.serving.tiny.DEPARTMENTS", {str(n): "Kitchen" for n in range(10)})
        patch.setattr("tests.serving.tiny.FAVOURITES", {})
        patch.setattr("tests.serving.tiny.ROUTING", [])
        patch.setattr("tests.serving.tiny.tiny_golden", lambda *_: [])  # it asks for the tiny shop's own ids
        patch.setattr("tests.serving.tiny.tiny_events", lambda: pl.DataFrame([
            {"event_id": f"{n}", "user_id": f"u{n % 9}", "item_id": str(n % 20 + 1), "event_type": "click",
             "timestamp": datetime(2024, 3, 1 + n // 20, n % 20), "session_id": "s"} for n in range(200)],
            schema_overrides={"timestamp": pl.Datetime("us", "UTC")}))
        catalogue = tiny_catalogue()
        brand = pl.when(pl.col("item_id") == "3").then(pl.lit("007")).otherwise(pl.lit("7"))
        items = catalogue.items.with_columns(brand=brand)
        catalogue = Catalogue(items, catalogue.text_of_item, catalogue.vectors)
        patch.setattr("tests.serving.tiny.tiny_catalogue", lambda: catalogue)
        given = tiny_arguments(folder / "sources") | {"shelves": None, "users": None}
        write_bundle(folder / "bundle", **given)
    return Bundle.load(folder / "bundle")


@pytest.mark.parametrize("three", [3, 3.0, np.int64(3), np.float32(3), " 3 ", Decimal(3)])
def test_numbers_are_read_as_ids_everywhere(numbered, three):
    assert numbered.recommend([three]).fallback is None
    assert ids(numbered.recommend([1], candidates=[three])) == ["3"]
    assert ids(numbered.recommend([1], candidates={three, 4})) != []
    assert numbered.click_probability([three]) == numbered.click_probability(["3"])
    assert numbered.adapt([{"item_id": three}]).settings.get("reason") is None
    assert numbered.recommend_batch([[three]])[0].tolist() == numbered.recommend_batch([["3"]])[0].tolist()


def test_numbers_in_filters_meet_text(numbered):
    assert ids(numbered.recommend([], k=20, filters={"brand": "007"})) == ["3"]
    assert [len(numbered.recommend([], k=20, filters={"brand": brand})) for brand in (7, 7.0, "7", [7, "8"])] == [19] * 4


def test_filters_know_every_type_that_items_have():
    items = pl.DataFrame({
        "item_id": ["a", "b", "c"], "since": [date(2024, 1, 1), None, date(2024, 3, 1)], "sold": [True, False, None],
        "made": [datetime(2024, 1, 1, 9), datetime(2024, 2, 1), None], "size": [1, None, 3], "tags": [["x"], [], None],
        "kind": pl.Series(["A", "B", "A"], dtype=pl.Categorical), "none": pl.Series([None] * 3, dtype=pl.Null)})
    columns = ItemColumns(items)

    def kept(**filters) -> str:
        return "".join(items["item_id"].filter(pl.Series(columns.matching(filters))).to_list())

    assert kept(since="2024-03-01") == kept(since=date(2024, 3, 1)) == kept(since={"min": datetime(2024, 2, 1)}) == "c"
    assert (kept(sold=True), kept(sold=[True, False]), kept(made={"max": "2024-01-31"})) == ("a", "ab", "a")
    assert (kept(size=3), kept(size=[1.0, 3]), kept(size={"min": 2}), kept(size={"max": None})) == ("c", "ac", "c", "abc")
    assert (kept(kind="A"), kept(kind=np.array(["B", "C"])), kept(none="x"), kept(kind=[])) == ("ac", "b", "", "")
    for wrong in ({"tags": "x"}, {"sold": 1}, {"since": "soon"}, {"size": "3"}, {"size": True}, {"kind": None}, {"size": None},
                  {"made": {"min": datetime(2024, 1, 1).astimezone()}}, {"size": {1: 2}}, {"size": 10**400}, {"since": 5},
                  {"kind": [["A"]]}, {"kind": b"A"}):
        with pytest.raises(RequestError, match="filters"):
            columns.matching(wrong)


@pytest.mark.parametrize(("ask", "culprit"), [
    (lambda b: b.click_probability("0001"), "items: '0001' .str. is one text"),
    (lambda b: b.click_probability(None), "items: None"),
    (lambda b: b.recommend(["k0"], candidates="0003"), "candidates: '0003' .str. is one text"),
    (lambda b: b.recommend([], candidates=[["k0"]]), "candidates, entry 0: .*list. is no id"),
    (lambda b: b.recommend({"item_id": "k0"}), "history: .* is no list"),
    (lambda b: b.recommend(["k0", ["k1"]]), "history, entry 1"),
    (lambda b: b.recommend([b"k0"]), "history, entry 0: b'k0' .bytes. is no id"),
    (lambda b: b.recommend([True]), "history, entry 0: True .bool. is no id"),
    (lambda b: b.recommend({"k0", "k1"}), "is no list"),
    (lambda b: b.recommend(np.array([["k0"]])), "2 dimensions"),
    (lambda b: b.recommend([{"item_id": "k0", "event_type": 7}]), "event_type is 7"),
    (lambda b: b.recommend([{"item_id": "k0", "timestamp": "noon"}]), "'noon' .str. is no time"),
    (lambda b: b.recommend_batch(None), "histories: None"),
    (lambda b: b.recommend_batch(["k0"]), "history: 'k0' .str. is one text"),
    (lambda b: list(b.score_batches("k0")), "histories"),
    (lambda b: b.recommend([], filters=["brand"]), "filters: .* is no mapping"),
    (lambda b: b.recommend([], filters={"category": date(2024, 1, 1)}), "'category' holds String"),
    (lambda b: b.recommend([], filters={("brand",): "x"}), "the name .* is no text"),
    (lambda b: b.recommend([], user=["a"], segment="auto"), "user: .* is no mapping"),
    (lambda b: b.recommend([], user={"region": ["north"]}), "user, 'region'"),
    (lambda b: b.recommend([], context={"store": ["367"]}), "context, 'store'"),
    (lambda b: b.recommend([], adapter="x"), "adapter: 'x' .str. is none"),
    (lambda b: b.recommend([], segment=["deli"]), "segment"),
    (lambda b: b.recommend([], shelf=object()), "shelf"),
    (lambda b: b.recommend([], user_id=["a"]), "user_id"),
    (lambda b: b.recommend([], exclude_seen="no"), "exclude_seen"),
    (lambda b: b.recommend([], at=True), "True .bool. is no time"),
    (lambda b: b.recommend([], at=pd.NaT), "is no time"),
    (lambda b: b.recommend([], at=-1e11), "is no time"),
    (lambda b: b.adapt([{"item_id": "k0", "label": None}]), "support, row 0: None .NoneType. is no number"),
    (lambda b: b.adapt(pl.DataFrame({"item_id": ["k0", "k1"], "label": [1, None]})), "support, row 1"),
    (lambda b: b.adapt([{"item_id": "k0", "label": "click"}]), "'click' .str. is no number"),
    (lambda b: b.adapt(["k0"]), "support, row 0: 'k0' .str. is no row"),
    (lambda b: b.adapt({"item_id": "k0"}), "support: .* is no list"),
    (lambda b: b.adapt([{"item": "k0"}]), "names no item_id, but .'item'."),
    (lambda b: b.adapt(None), "support"),
    (lambda b: b.adapt([], page="k0"), "page"),
])
def test_a_wrong_argument_is_named(bundle, ask, culprit):
    with pytest.raises(RequestError, match=culprit) as raised:
        ask(bundle)
    assert "Fix:" in str(raised.value) and "\n" not in str(raised.value)


def test_adapt_reads_frames_of_both_libraries_alike(bundle):
    rows = [{"item_id": item, "label": label} for item, label in [("d1", 1), ("d1", 1.0), ("d2", True), ("t0", 0), (None, 1)]]
    made = bundle.adapt(rows).offsets(bundle.catalogue).tolist()
    frame = {"item_id": [r["item_id"] for r in rows], "label": [float(r["label"]) for r in rows]}
    for support in (pl.DataFrame(frame), pd.DataFrame(frame), tuple(rows)):
        assert bundle.adapt(support).offsets(bundle.catalogue).tolist() == made


@pytest.mark.parametrize("folder", [None, 7, "", "\0", b"bundle", "x" * 5000, [], "no such folder"])
def test_no_folder_is_no_bundle(folder):
    with pytest.raises(BundleError, match="Fix"):
        Bundle.load(folder)


@pytest.mark.parametrize(("given", "reason"), [
    ({"candidates": ["zzz"]}, "1 unknown candidates ignored (zzz); no candidate is in the catalogue"),
    ({"candidates": []}, "the list of candidates is empty"),
    ({"filters": {"category": "bath"}}, "no item matches the filters on category"),
    ({"filters": {"department": "Deli", "price": {"min": 10, "max": 11}}},
     "no item matches the filters on department, price (2 without department, 5 without price)"),
    ({"candidates": ["k0"], "filters": {"department": "Deli"}}, "no candidate matches the filters"),
    ({"candidates": ["k1"], "shelf": "window"}, "no item on the shelf is left by candidates and filters"),
    ({"candidates": ["k0"], "exclude_seen": True}, "every item that fits is in the history")])
def test_an_empty_answer_says_why(bundle, caplog, given, reason):
    answers = bundle.recommend(["k0"], **given)
    assert answers == [] and answers.fallback == reason and f"nothing to answer with: {reason}" in caplog.text
    if "exclude_seen" not in given:
        assert reason in bundle.search("mug", **given).fallback
    assert bundle.recommend(["k0"]).fallback is None


def test_empty_rows_of_a_batch_are_counted(bundle, caplog):
    names, _ = bundle.recommend_batch([["k0", "g3"], ["t0"]], k=3, shelf="window", exclude_seen=True)
    assert names[0].tolist() == [""] * 3 and "1 of 2 rows have nothing to answer with" in caplog.text


def test_one_time_too_few_is_said(bundle):
    history = [{"item_id": "k0", "timestamp": "2024-03-01T10:00:00"}, {"item_id": "t0"}]
    assert bundle.recommend(history, at="2024-01-01").fallback == "times ignored: 1 of 2 events has none"


def test_a_k_beyond_the_catalogue_is_the_catalogue(bundle):
    found, scores = bundle.recommend_batch([["k0"], []], k=10**13)
    assert found.shape == scores.shape == (2, 20) and len(bundle.recommend([], k=10**13)) == 20


def test_ids_and_lists_of_strangers():
    assert [read_id(value, "x") for value in (1.5, 2**60, "", " ", np.nan, pd.NA, float("inf"))] == [
        "1.5", str(2**60), None, None, None, None, "inf"]
    unique = uuid4()
    assert read_id(unique, "x") == str(unique) and read_list(range(2), "x") == [0, 1]

    class Broken:
        def __len__(self):
            raise OSError
        __iter__ = __contains__ = to_list = __repr__ = __len__

    assert show(Broken()) == "(Broken)"
    with pytest.raises(RequestError):
        read_id(10**5000, "x")
    for value in (Broken(), 7, object(), iter([1]), pl.LazyFrame(), np.float64(1)):
        with pytest.raises(RequestError):
            read_list(value, "x")


WORDS = ["k0", "t1", "auto", "deli", "store", "easter", "north", "window", "Deli", "2024-03-28", "brand", "price", "min",
         "item_id", "timestamp", "event_type", "label", "367", "\ud800", pd.NaT, pd.NA]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**12, 10**300),
    st.floats(), st.text(max_size=6), st.binary(max_size=3), st.sampled_from(WORDS), st.dates(), st.datetimes(),
    st.datetimes(timezones=st.timezones()), st.decimals(allow_nan=False), st.uuids(), st.timedeltas(), st.complex_numbers(),
    st.builds(object), st.builds(np.int64, st.integers(-5, 5)), st.builds(np.float32, st.floats(width=32)),
    st.builds(np.datetime64, st.datetimes()),
    st.builds(pd.Timestamp, st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))))
LISTS = st.lists(SCALARS, max_size=4)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(SCALARS, inner, max_size=3),
    st.sets(SCALARS, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    st.builds(lambda one: [{"item_id": one, "label": 1, "timestamp": one}], inner)), max_leaves=6)
TABLES = st.one_of(
    st.builds(np.array, st.lists(st.integers(), max_size=3)), st.builds(lambda v: np.array(v, object), LISTS),
    st.builds(lambda v: np.array([v, v]), st.lists(st.floats(), max_size=3)),
    st.builds(lambda v: pd.Series(v, dtype=object), LISTS), st.builds(lambda v: pl.Series(v, dtype=pl.Object), LISTS),
    st.builds(pl.Series, st.lists(st.floats(), max_size=3)),
    st.builds(lambda v: pd.DataFrame({"item_id": pd.Series(v, dtype=object)}), LISTS),
    st.builds(lambda v: pl.DataFrame({"item_id": v, "label": v}), st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3)))
ANYTHING = st.one_of(VALUES, TABLES)
WHO = ("history", "user_id", "user", "at", "segment", "candidates", "filters", "adapter", "context", "shelf")
ARGUMENTS = {
    "recommend": (*WHO, "k", "exclude_seen", "rules"),
    "recommend_batch": ("histories", "k", "segment", "exclude_seen", "context", "shelf", "rules"),
    "score_batches": ("histories", "segment", "exclude_seen", "context", "shelf", "rules"),
    "search": (*[name for name in WHO if name != "user"], "query", "k", "rules"),
    "click_probability": ("items", "history", "query", "user_id", "at", "segment", "adapter", "context"),
    "adapt": ("support", "page")}
NEEDED = {"recommend": {"history": ["k0"]}, "recommend_batch": {"histories": [["k0"]]}, "search": {"query": "mug"},
          "score_batches": {"histories": [["k0"]]}, "click_probability": {"items": ["k0"]},
          "adapt": {"support": [{"item_id": "k0"}]}}
CALLS = [(method, name) for method, names in ARGUMENTS.items() for name in names]


@settings(max_examples=900, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(call=st.sampled_from(CALLS), value=ANYTHING)
def test_nothing_but_our_own_errors_comes_out(bundle, call, value):
    method, name = call
    arguments = {**NEEDED[method], **({"segment": "auto"} if "segment" in ARGUMENTS[method] else {}), name: value}
    try:
        answer = getattr(bundle, method)(**arguments)
        if method == "score_batches":
            list(answer)
    except RecsysError as error:
        assert error.culprit and "\n" not in str(error)


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(value=VALUES)
def test_nothing_but_our_own_errors_comes_out_of_loading(value):
    with pytest.raises(RecsysError):
        Bundle.load(value if not isinstance(value, str) or not os.path.exists(value) else None)
