import numpy as np
import polars as pl
import pytest

from recsys_core.errors import DataError, RequestError
from recsys_core.serving.evaluate import evaluate_bundle


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
