"""Hashed n-grams: known pieces count by their rarity, unknown ones dilute, sparse and dense forms agree."""

import numpy as np

from recsys_core.tasks.ngrams import BUCKETS, count_ngrams

TEXTS = ["red mug", "red  MUG!", "a lamp", "", "木製おもちゃ"]


def dense(texts, columns, idf) -> np.ndarray:
    return np.concatenate(list(count_ngrams(texts).weigh(columns, idf).blocks(len(columns))), axis=1)


def known(texts) -> tuple[np.ndarray, np.ndarray]:
    columns, seen_in = np.unique(count_ngrams(texts).column, return_counts=True)
    return columns, (1 + np.log((1 + len(texts)) / (1 + seen_in))).astype(np.float32)


def test_characters_stay_within_words_and_words_come_with_pairs():
    found = count_ngrams(["ab c"])
    characters, words = (found.column < BUCKETS).sum(), (found.column >= BUCKETS).sum()
    assert characters == len({" a", "ab", "b ", " ab", "ab ", " ab ", " c", "c ", " c "})
    assert words == len({"ab", "c", "ab c"})


def test_case_and_spaces_do_not_count_and_repetition_counts_less_and_less():
    one, same = count_ngrams(["red mug"]), count_ngrams([" RED   Mug "])
    np.testing.assert_array_equal(one.column, same.column)
    assert one.value.max() == 1
    np.testing.assert_allclose(count_ngrams(["mug mug mug"]).value.max(), 1 + np.log(3), rtol=1e-6)


def test_characters_and_words_are_each_of_unit_length():
    columns, idf = known(TEXTS)
    rows = dense(TEXTS, columns, idf)
    for part in (columns < BUCKETS, columns >= BUCKETS):
        np.testing.assert_allclose(np.linalg.norm(rows[:, part], axis=1), [1, 1, 1, 0, 1], rtol=1e-5)


def test_unknown_pieces_dilute_the_known_ones():
    columns, idf = known(["red mug"])
    lengths = np.linalg.norm(dense(["red mug", "red mug zyxw", "zyxw"], columns, idf), axis=1)
    assert lengths[0] > lengths[1] > lengths[2] == 0


def test_sparse_and_dense_products_agree():
    columns, idf = known(TEXTS)
    found, rows = count_ngrams(TEXTS).weigh(columns, idf), dense(TEXTS, columns, idf)
    weights = np.random.default_rng(0).normal(size=(len(columns), 3)).astype(np.float32)
    np.testing.assert_allclose(found.times(weights), rows @ weights, atol=1e-5)
    np.testing.assert_allclose(found.gram(len(columns)), rows.astype(np.float64) @ rows.T, atol=1e-5)
