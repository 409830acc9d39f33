import numpy as np
import pytest

from recsys_core.retrieval.lexical import K1, B, LexicalIndex, build_lexical
from recsys_core.words import tokenize

TEXTS = ["red mug", "blue mug mug", "green tea pot", "緑茶の急須"]


def test_tokens_of_mixed_scripts():
    assert tokenize("Ｔea緑茶 2.5L") == ["tea", "緑茶", "2", "5l"]
    assert tokenize("茶") == ["茶"] and tokenize("!? …") == []
    assert tokenize("glasses glass gas") == ["glasse", "glass", "gas"]


def test_scores_are_bm25_by_hand():
    index = build_lexical(TEXTS)
    scores = index.scores("mugs")
    idf = np.log1p((4 - 2 + 0.5) / (2 + 0.5))
    mean = (2 + 3 + 3 + 4) / 4
    wanted = [tf * (K1 + 1) / (tf + K1 * (1 - B + B * n / mean)) / (K1 + 1) for tf, n in ((1, 2), (2, 3))]
    assert scores[:2] == pytest.approx(wanted, rel=1e-5) and scores[2:].tolist() == [0, 0]
    assert index.bound[index.token_row["mug"]] == pytest.approx(idf * (K1 + 1))


def test_unknown_words_weaken_a_match_and_alone_give_none():
    index = build_lexical(TEXTS)
    assert index.scores("zebra") is None and index.scores("") is None
    assert 0 < index.scores("mug zebra")[0] < index.scores("mug")[0]
    assert index.scores("緑茶").argmax() == 3


def test_saved_and_loaded_scores_are_the_same(tmp_path):
    index = build_lexical(TEXTS)
    index.save(tmp_path)
    loaded = LexicalIndex.load(tmp_path)
    for query in ("mug", "green pot", "急須 tea"):
        assert (loaded.scores(query) == index.scores(query)).all()


def test_no_texts_at_all():
    assert build_lexical([]).scores("mug") is None and build_lexical(["", "…"]).scores("mug") is None
