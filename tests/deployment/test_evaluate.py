import numpy as np
import polars as pl
import pytest

from recsys_core.deployment.evaluate import evaluate_bundle
from recsys_core.errors import DataError, RequestError


def test_metrics_by_hand(bundle):
    order = [a.item_id for a in bundle.recommend(["k0"], k=20)]
    test = pl.DataFrame({"history": [["k0"], ["k0"]], "target": [order[0], order[3]]})
    assert evaluate_bundle(bundle, test, k=3) == {
        "n": 2, "hr@3": 0.5, "recall@3": 0.5, "ndcg@3": 0.5, "mrr@3": 0.5}
    found = evaluate_bundle(bundle, test, k=10)
    assert found["hr@10"] == 1 and found["mrr@10"] == pytest.approx((1 + 1 / 4) / 2)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(5)) / 2)


def test_several_targets_and_targets_outside_the_catalogue(bundle):
    order = [a.item_id for a in bundle.recommend(["k0"], k=20)]
    test = pl.DataFrame({"history": [["k0"], ["k0"]], "target": [[order[0], "gone"], ["gone", "lost"]]})
    found = evaluate_bundle(bundle, test, k=20)
    assert found["recall@20"] == 0.25 and found["hr@20"] == 0.5
    assert found["ndcg@20"] == pytest.approx(1 / (1 + 1 / np.log2(3)) / 2)


def test_ties_count_at_their_expected_rank(bundle):
    # k1 and k2 have one text, one category and no events: nothing tells them apart.
    single = [evaluate_bundle(bundle, pl.DataFrame({"history": [["k0"]], "target": [t]}), k=20)["mrr@20"]
              for t in ("k1", "k2")]
    ranks = [a.item_id for a in bundle.recommend(["k0"], k=20)]
    first = min(ranks.index("k1"), ranks.index("k2")) + 1
    assert single[0] == single[1] == pytest.approx((1 / first + 1 / (first + 1)) / 2)


def test_seen_targets_are_misses_when_seen_items_are_left_out(bundle):
    test = pl.DataFrame({"history": [["k0"]], "target": ["k0"]})
    assert evaluate_bundle(bundle, test, k=20)["hr@20"] == 1.0
    assert evaluate_bundle(bundle, test, k=20, exclude_seen=True)["hr@20"] == 0.0


def test_a_segment_changes_the_outcome(bundle):
    test = pl.DataFrame({"history": [["k0"]], "target": ["d1"]})
    base, deli = (evaluate_bundle(bundle, test, segment=s)["mrr@10"] for s in (None, "deli"))
    assert deli > base


def test_chunks_change_nothing(bundle, monkeypatch):
    test = pl.DataFrame({"history": [["k0"], [], ["t0"], ["d1"]],
                         "target": [["g0"], ["gone", "t0"], ["x"], ["k0"]]})
    whole = evaluate_bundle(bundle, test, k=5)
    monkeypatch.setattr("recsys_core.serving.bundle.SCORES_AT_ONCE", 40)
    assert evaluate_bundle(bundle, test, k=5) == pytest.approx(whole)


@pytest.mark.parametrize(("frame", "culprit"), [
    (pl.DataFrame({"history": [["a"]]}), "'target'"),
    (pl.DataFrame({"history": ["a"], "target": ["b"]}), "not a list"),
    (pl.DataFrame({"history": [["a"]], "target": [None]}, schema_overrides={"target": pl.String}), "row 0"),
    (pl.DataFrame(schema={"history": pl.List(pl.String), "target": pl.String}), "no rows"),
])
def test_bad_test_rows_are_named(bundle, frame, culprit):
    with pytest.raises(DataError, match=culprit):
        evaluate_bundle(bundle, frame)


def test_what_a_segment_cannot_do_is_said(bundle, caplog):
    test = pl.DataFrame({"history": [["k0"]], "target": ["d1"]})
    with pytest.raises(RequestError, match="'nowhere' is unknown"):
        evaluate_bundle(bundle, test, segment="nowhere")
    assert evaluate_bundle(bundle, test, segment="toys") == evaluate_bundle(bundle, test)
    assert "does not pay" in caplog.text
    with pytest.raises(RequestError):
        evaluate_bundle(bundle, test, k=0)


def test_ids_as_numbers_are_read_as_in_the_files(bundle, monkeypatch, caplog):
    rows = {str(n): n for n in range(20)}
    monkeypatch.setitem(vars(bundle.catalogue), "row_of", rows)
    wanted = evaluate_bundle(bundle, pl.DataFrame({"history": [["1"]], "target": ["2"]}), k=20)
    for one, two in ((1, 2), (1.0, 2.0)):
        for target in (two, [two]):
            assert evaluate_bundle(bundle, pl.DataFrame({"history": [[one]], "target": [target]}), k=20) == wanted
    assert caplog.text == ""


@pytest.mark.parametrize(("ids", "cause"), [
    (("007", "08"), "leading zeros were lost"), (("7.0", "8.0"), "passed through floats"), (("x", "y"), "the bundle's own shop")])
def test_unknown_ids_are_counted_with_their_likely_cause(bundle, monkeypatch, caplog, ids, cause):
    monkeypatch.setitem(vars(bundle.catalogue), "row_of", {str(n): n for n in range(20)})
    with pytest.raises(DataError, match=f"1 of 1 targets and 1 of 1 history ids .*, e.g. '{ids[1]}' .*{cause}"):
        evaluate_bundle(bundle, pl.DataFrame({"history": [[ids[0]]], "target": [ids[1]]}))
    evaluate_bundle(bundle, pl.DataFrame({"history": [[ids[0]], ["1"]], "target": [ids[1], "3"]}))
    assert "1 of 2 targets and 1 of 2 history ids are not in the catalogue" in caplog.text and cause in caplog.text
