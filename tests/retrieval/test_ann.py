"""The shortlist of an index holds what scoring every text finds: planted clusters, restrictions, newer texts."""

import logging
import sys

import numpy as np
import pytest

from recsys_core.retrieval import ann
from recsys_core.retrieval.ann import TextIndex

M, WIDTH, K = 6000, 32, 10


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Texts in 60 clusters, as products of one kind are."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(60, WIDTH))[rng.integers(0, 60, M)] + rng.normal(scale=0.5, size=(M, WIDTH))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def index(vectors) -> TextIndex:
    return TextIndex.build(vectors)


def queries(vectors: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """A query near one text, and what words and standing add: some texts much, most of them nothing."""
    rng = np.random.default_rng(1)
    asked = []
    for row in rng.integers(0, M, 40):
        vector = 20 * vectors[row] + rng.normal(scale=1, size=WIDTH)
        known = (rng.gamma(0.3, size=len(vectors)) + 6 * (rng.random(len(vectors)) < 0.01)).astype(np.float32)
        asked.append((vector.astype(np.float32), known))
    return asked


def recall(index: TextIndex, vectors: np.ndarray, asked) -> float:
    """The share of the exact best K that shortlists hold; none is nearly as long as the catalogue."""
    held = []
    for vector, known in asked:
        exact = np.argsort(-(vectors @ vector + known), kind="stable")[:K]
        found = index.shortlist(vector, known, K)
        assert (np.diff(found) > 0).all() and np.isfinite(known[found]).all() and len(found) < len(vectors) / 2
        held.append(np.isin(exact, found).mean())
    return float(np.mean(held))


def test_the_shortlist_holds_what_scoring_every_text_finds(index, vectors):
    assert recall(index, vectors, queries(vectors)) >= 0.99


def test_texts_far_from_the_query_that_stand_highest_are_in_it(index, vectors):
    vector = 20 * vectors[0]
    far, known = np.argsort(vectors @ vector)[:5], np.zeros(M, np.float32)
    known[far] = 60
    assert set(far) <= set(index.shortlist(vector, known, K))


def test_those_that_stand_highest_are_found_wherever_they_are(index, vectors):
    """In one row, where a sample of the catalogue sees hardly any of them, and among equals."""
    vector, known = np.zeros(WIDTH, np.float32), np.zeros(M, np.float32)
    known[1001:1001 + ann.KEPT] = 1 + np.arange(ann.KEPT)
    assert set(range(1001, 1001 + ann.KEPT)) <= set(index.shortlist(vector, known, K))
    known[::ann.SAMPLED] = 1000
    assert known[index.shortlist(vector, known, K)].max() == 1000
    assert (known[index.shortlist(vector, known, K)] == 1000).sum() >= min(ann.KEPT, M // ann.SAMPLED)


def test_restrictions_hold_and_keep_the_recall(index, vectors):
    allowed = np.random.default_rng(2).random(M) < 0.5
    asked = [(vector, np.where(allowed, known, np.float32(-np.inf))) for vector, known in queries(vectors)]
    assert recall(index, vectors, asked) >= 0.99


def test_where_few_texts_are_left_all_of_them_are_scored(index, vectors):
    known = np.full(M, -np.inf, np.float32)
    known[::7] = 0
    assert np.array_equal(index.shortlist(vectors[0], known, K), np.arange(0, M, 7))


def test_newer_texts_are_always_in_it_unless_they_may_not_be_answered(index, vectors):
    known = np.r_[np.zeros(M), -50, -np.inf, -50].astype(np.float32)
    found = set(index.shortlist(vectors[0], known, K).tolist())
    assert {M, M + 2} <= found and M + 1 not in found


def test_a_longer_list_asks_for_more(index, vectors):
    vector, known = queries(vectors)[0]
    exact = np.argsort(-(vectors @ vector + known))[:400]
    assert np.isin(exact, index.shortlist(vector, known, 400)).mean() >= 0.95


def test_the_same_vectors_give_the_same_file_and_it_reads_as_it_was_written(index, vectors, tmp_path):
    index.save(tmp_path / "a.faiss")
    TextIndex.build(vectors).save(tmp_path / "b.faiss")
    assert (tmp_path / "a.faiss").read_bytes() == (tmp_path / "b.faiss").read_bytes()
    vector, known = queries(vectors)[0]
    read = TextIndex.load(tmp_path / "a.faiss", vectors)
    assert np.array_equal(read.shortlist(vector, known, K), index.shortlist(vector, known, K))


def test_an_index_of_other_vectors_or_of_another_kind_is_refused(index, vectors, tmp_path):
    import faiss

    index.save(tmp_path / "a.faiss")
    with pytest.raises(ValueError, match="is no index of"):
        TextIndex.load(tmp_path / "a.faiss", vectors[1:])
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(vectors)
    faiss.write_index(flat, str(tmp_path / "b.faiss"))
    with pytest.raises(ValueError, match="is no index of"):
        TextIndex.load(tmp_path / "b.faiss", vectors)
    (tmp_path / "c.faiss").write_bytes(b"IwPf")
    with pytest.raises(ValueError, match=r"c\.faiss"):
        TextIndex.load(tmp_path / "c.faiss", vectors)


@pytest.mark.parametrize("width", [3, 10, 26])
def test_vectors_of_any_width_are_indexed(vectors, width):
    narrow = np.ascontiguousarray(vectors[:, :width])
    exact = np.argmax(narrow @ narrow[0])
    assert exact in TextIndex.build(narrow).shortlist(narrow[0], np.zeros(M, np.float32), 1)


def test_without_faiss_there_is_no_index_and_a_warning_says_so(vectors, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with caplog.at_level(logging.WARNING, ann.__name__):
        assert TextIndex.build(vectors) is None and TextIndex.load(tmp_path / "a.faiss", vectors) is None
    assert [record.getMessage() for record in caplog.records] == [ann.MISSING % "6,000"] * 2
