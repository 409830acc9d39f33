import numpy as np
import polars as pl
import pytest

from recsys_core.retrieval.lexical import K1, WEIGHTS, B, LexicalIndex, build_lexical
from recsys_core.words import tokenize

TITLES = ["red mug", "blue mug mug", "green tea pot", "緑茶の急須"]


def index_of(titles: list[str], **columns: list[str | None]) -> LexicalIndex:
    items = pl.DataFrame({"item_id": [str(row) for row in range(len(titles))], "title": titles, "brand": None, "category": None,
                          "description": None, "text": titles, **columns}).cast(pl.String)
    return build_lexical(items, np.arange(len(titles), dtype=np.int32))


def scores(index: LexicalIndex, query: str) -> np.ndarray | None:
    return index.scores(index.read(query).terms)


def test_tokens_of_mixed_scripts():
    assert tokenize("Ｔea緑茶 2.5L") == ["tea", "緑茶", "2", "5l"]
    assert tokenize("茶") == ["茶"] and tokenize("!? …") == []
    assert tokenize("glasses glass gas") == ["glasse", "glass", "gas"]


def test_scores_are_bm25f_by_hand():
    index = index_of(TITLES, brand=["Acme", None, "Mug Works", None])
    found = scores(index, "mugs")
    idf = np.log1p((4 - 3 + 0.5) / (3 + 0.5))

    def share(column: str, count: int, length: int, mean: float) -> float:
        """All columns together, and this one on its own; the word is not in the third."""
        short = count / (1 - B + B * length / mean)
        return (WEIGHTS[column] * short / (WEIGHTS[column] * short + K1) + short / (short + K1)) / 3

    titles = (2 + 3 + 3 + 8) / 4  # four characters, and each two neighbours
    wanted = [share("title", 1, 2, titles), share("title", 2, 3, titles), share("brand", 1, 2, 1.5)]
    assert found[:3] == pytest.approx(wanted, rel=1e-5) and found[3] == 0
    assert index.bound[index.token_row["mug"]] == pytest.approx(idf * (K1 + 1))


def test_unknown_words_weaken_a_match_and_alone_give_none():
    index = index_of(TITLES)
    assert scores(index, "zebra") is None and scores(index, "…") is None
    assert 0 < scores(index, "mug zebra")[0] < scores(index, "mug")[0]
    assert scores(index, "緑茶").argmax() == 3


def test_saved_and_loaded_scores_are_the_same(tmp_path):
    index = index_of(TITLES, colour=["crimson", None, None, None])
    index.save(tmp_path)
    loaded = LexicalIndex.load(tmp_path)
    for query in ("mug", "green pot", "急須 tea", "crimson"):
        assert (scores(loaded, query) == scores(index, query)).all()
    assert loaded.documents.columns == ("title", "brand", "category", "description", "colour")


def test_no_items_at_all():
    assert scores(index_of([]), "mug") is None and scores(index_of(["", "…"]), "mug") is None


def test_a_new_document_is_found_by_its_words_and_a_replaced_one_by_its_new_ones():
    index = index_of(TITLES)
    documents = index.documents.grown([4, 0], [0, 0], 5)
    grown = index.grown(documents, [("steel mug", None, None, None), ("abacus", None, None, None)])
    assert scores(grown, "steel").argmax() == documents.of_item[4] and scores(grown, "abacus").argmax() == documents.of_item[0]
    assert scores(grown, "mug")[4] > 0 and scores(grown, "tea")[:4].tolist() == scores(index, "tea").tolist()
    assert scores(index, "steel") is None


def test_compounds_are_found_however_they_are_written():
    index = index_of(["black t-shirt", "white tshirt", "green t shirt", "dress shirt", "wi-fi router", "book case", "bookcase"])
    for query in ("t-shirt", "tshirt", "t shirt", "T-Shirts"):
        found = scores(index, query)
        assert found[:3].min() > found[3], query
    assert scores(index, "wifi").argmax() == 4
    assert set(np.argsort(-scores(index, "bookcase"))[:2]) == {5, 6}


def test_measures_are_one_word_however_they_are_written():
    index = index_of(["soda 12 pack", "soda 6 pack", "milk 1 gal", "milk .5 GAL", 'pipe 1/2 in', "pipe 2 in"],
                     package_size=["12 x", None, None, None, None, None])
    for query, place in (("12pk soda", 0), ("soda pack of 6", 1), ("1 gallon milk", 2), ("1/2 gallon milk", 3), ('pipe 1/2"', 4),
                         ("0.5 inch pipe", 4), ("2-inch pipe", 5)):
        assert scores(index, query).argmax() == place, query


def test_a_size_that_only_a_column_holds_decides():
    titles = ["milk", "milk", "milk"]
    index = index_of(titles, size=["1 GAL", "16 OZ", None])
    assert scores(index, "milk 1 gallon").argmax() == index.documents.of_item[0]
    assert scores(index, "milk 16oz").argmax() == index.documents.of_item[1]
