"""New and changed items are found at once, by all filters, and the bundle they joined stays what it was."""

import numpy as np
import polars as pl
import pytest

from recsys_core.cleaning import clean_item, clean_items
from recsys_core.errors import RequestError
from recsys_core.schema import RAW_ITEMS
from tests.serving.test_fork import child

SIEVE = {"item_id": "z9", "title": " Ceramic &amp; steel sieve ", "department": "Kitchen", "category": "Kitchen > sieve",
         "price": 9.5, "brand": "Birch"}


def ids(found):
    return [one.item_id for one in found]


def test_a_new_item_is_found_at_once_with_all_filters(bundle):
    before = [(one.item_id, one.score) for one in bundle.search("steel", k=30)]
    more = bundle.with_items([SIEVE])
    for filters in (None, {"brand": "Birch"}, {"category": "Kitchen"},
                    {"department": "Kitchen", "price": {"max": 9.5, "min": 9}}):
        assert "z9" in ids(more.search("ceramic sieve", k=3, filters=filters)), filters
    assert ids(more.search("sieve", k=1)) == ["z9"] and ids(more.search("anything", candidates=["z9"])) == ["z9"]
    assert len(more.catalogue) == 21 and len(bundle.catalogue) == 20 and "z9" not in bundle.catalogue.row_of
    assert [(one.item_id, one.score) for one in bundle.search("steel", k=30)] == before
    assert "z9" in ids(more.recommend(["k0"], k=30)) and more.recommend(["z9"]).fallback is None
    assert sum(more.search("sieve", k=1)[0].reasons.values()) == pytest.approx(more.search("sieve", k=1)[0].score, abs=1e-5)


def test_the_others_keep_their_order(bundle):
    more = bundle.with_items([SIEVE])
    assert [one for one in ids(more.recommend(["k0"], k=30)) if one != "z9"] == ids(bundle.recommend(["k0"], k=30))
    known = more.recommend(user_id="u03", k=30)
    assert [one for one in ids(known) if one != "z9"] == ids(bundle.recommend(user_id="u03", k=30))


def test_a_changed_item_keeps_its_counts_and_loses_its_old_words(bundle):
    more = bundle.with_items([{"item_id": "t0", "title": "Bamboo abacus", "category": "Toys > abacus"}])
    row = bundle.catalogue.row_of["t0"]
    assert more.catalogue.row_of["t0"] == row and len(more.catalogue) == 20
    assert np.array_equal(more.popularity, bundle.popularity)
    assert ids(more.search("abacus", k=1)) == ["t0"] and "train" not in more.catalogue.items["text"][row].lower()
    assert "words" not in next(one for one in more.search("wooden train", k=30) if one.item_id == "t0").reasons
    assert more.catalogue.items["brand"][row] is None  # a row is the whole item


def test_a_text_that_is_known_is_not_encoded_again(bundle):
    more = bundle.with_items([{"item_id": "k9", "title": "Glass teapot", "price": 1.0}])
    assert more.catalogue.vectors is bundle.catalogue.vectors
    assert {"k1", "k2", "k9"} == set(ids(more.search("glass teapot", k=3)))


def test_upserts_follow_each_other_and_a_segment_takes_in_what_meets_its_condition(bundle):
    more = bundle.with_items([SIEVE, {"item_id": "d9", "title": "Ham", "department": "Deli"}]).with_items([{**SIEVE, "price": 3}])
    assert len(more.catalogue) == 22 and more.catalogue.items["price"][more.catalogue.row_of["z9"]] == 3
    found = more.recommend(["k0", "g0", "t0", "k0"], segment="auto", filters={"department": "Deli"}, k=30)
    assert found[0].segment == "deli" and "d9" in ids(found)


@pytest.mark.parametrize("rows", ["z9", [3], [{}], [{"item_id": " "}], [{"item_id": "x", "colour": "red"}],
                                  [{"item_id": "x", "price": "cheap"}], [{"item_id": "x", "title": ["a"]}]])
def test_what_is_no_item_is_refused(bundle, rows):
    with pytest.raises(RequestError):
        bundle.with_items(rows)
    assert bundle.with_items([]).parts is bundle.parts


def test_a_forked_worker_takes_in_items(bundle):
    bundle.recommend([], segment="auto")

    def work():
        assert ids(bundle.with_items([SIEVE]).search("sieve", k=1, filters={"brand": "Birch"})) == ["z9"]
    assert child(work) == 0


def test_one_row_is_cleaned_as_a_table_is():
    texts = [" Oak&nbsp;desk ", "<b>Mug</b>\tblue", "a\u200bb \u202eｆｕｌｌ", "&#65;&lt;i&gt;", "x < y > z", "木製 おもちゃ",
             "\u0085", "", None, "Ａ" * 300, "e\u0301clair \u00a0\u3000 fin", "&notanentity; &amp;amp;", "tab\x1fsep"]
    rng = np.random.default_rng(0)
    rows = [{name: texts[int(rng.integers(len(texts)))] for name in ("title", "description", "brand", "category")}
            | {"item_id": f"i{n:03d}", "price": [1.5, -1.0, float("inf"), float("nan"), None][n % 5]} for n in range(300)]
    table = clean_items(pl.DataFrame(rows, schema=RAW_ITEMS))
    assert [clean_item(row) for row in rows] == table.select(*clean_item(rows[0])).to_dicts()
