import itertools

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys_core.distillation.agreement import Probe
from recsys_core.distillation.queries import Queries
from recsys_core.distillation.static import (
    StaticConfig,
    _contrast,
    _off_target,
    count_tokens,
    distil_static,
    learn_without_teacher,
    solve_table,
)
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from recsys_core.text_encoder.vectors import VectorCache
from tests.text_encoder.tiny_encoder import WORDS, write_tiny_bert, write_tiny_llama

TEXTS = [" ".join(words) for words in itertools.islice(itertools.permutations(WORDS, 4), 0, 120_000, 400)]
CONFIG = StaticConfig(max_steps=20, batch_queries=64, batch_documents=128)


def distilled(folder, texts=TEXTS, config=CONFIG, write=write_tiny_bert):
    """teacher, student, what it learned from, and a probe of every fourth text, which it never saw."""
    teacher = load_encoder(EncoderConfig(model=str(write(folder / "model")), dtype="float32", device="cpu"))
    documents = teacher.encode(texts)
    spans = [" ".join(text.split()[:2]) for text in texts]
    queries = Queries(list(dict.fromkeys(spans)), np.array([spans.index(span) for span in dict.fromkeys(spans)]))
    vectors, held = teacher.encode(queries.texts), np.arange(len(queries.texts)) % 4 == 0
    learnt, probed = np.flatnonzero(~held), np.flatnonzero(held)
    student = distil_static(teacher, queries.rows(learnt), vectors[learnt], texts, config,
                            np.random.default_rng(0), VectorCache(folder / "cache"))
    return teacher, student, (queries.rows(learnt), documents), Probe(queries.rows(probed), vectors[probed], documents)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return distilled(tmp_path_factory.mktemp("static"))


def test_it_points_where_the_teacher_points_on_queries_it_never_saw(made):
    _, student, (queries, documents), probe = made
    found = probe.measure(student.encode(probe.queries.texts))
    alone = learn_without_teacher(student, queries, documents, CONFIG, np.random.default_rng(0))
    without = probe.measure(alone.encode(probe.queries.texts))
    assert found["cosine"] > 0.9 and found["cosine"] > without["cosine"] + 0.05
    assert found["recall@10"] > without["recall@10"] > 0
    assert probe.measure(probe.vectors)["kept"] == 1.0


def test_what_is_not_in_the_queries_follows_what_is():
    """Tokens are learned to be the start turned by a rotation; the last token has no query, yet is turned as well."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(60, 8)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    counts = csr_matrix((rng.random((500, 60)) < 0.05).astype(np.float32) * (np.arange(60) < 59))
    targets = counts @ (start @ turn)
    targets /= np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-9)
    table = solve_table(counts, targets, start, StaticConfig())

    def cosine(left, right):
        return (left * right).sum() / np.linalg.norm(left) / np.linalg.norm(right)

    assert cosine(table[59], (start @ turn)[59]) > 0.95 > 0.6 > cosine(table[59], start[59])


def test_int8_moves_a_value_by_half_a_step_at_most(made):
    _, student, _, _ = made
    vectors, scales = student.quantized()
    assert vectors.dtype == np.int8 and np.abs(vectors.astype(np.int16)).max() == 127
    assert (np.abs(vectors * scales[:, None] - student.table) <= 0.51 * scales[:, None]).all()


def test_same_generator_same_table(tmp_path, made):
    _, again, _, _ = distilled(tmp_path)
    np.testing.assert_array_equal(again.table, made[1].table)


def test_decoders_can_be_distilled_too(tmp_path):
    _, student, _, probe = distilled(tmp_path, TEXTS[:100], CONFIG, write_tiny_llama)
    assert np.isfinite(student.table).all() and probe.measure(student.encode(probe.queries.texts))["cosine"] > 0.5


def test_no_queries_leave_the_teachers_token_vectors(tmp_path):
    counts = csr_matrix((0, 5), dtype=np.float32)
    start = np.eye(5, dtype=np.float32)
    np.testing.assert_array_equal(solve_table(counts, np.zeros((0, 5), np.float32), start, StaticConfig()), start)


def test_tokens_are_counted(made):
    _, student, _, _ = made
    counts = count_tokens(student.tokenizer, [f"{WORDS[0]} {WORDS[0]} {WORDS[1]}", ""])
    assert sorted(counts[0].data.tolist()) == [1, 2] and counts[1].nnz == 0


def test_losses_by_hand():
    import torch

    own = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    assert _off_target(own, np.eye(2, dtype=np.float32)).item() == pytest.approx(0.1)
    ways = np.eye(2, dtype=np.float32)
    contrast = _contrast(own, np.array([0, 1]), ways, StaticConfig(temperature=2.0), np.random.default_rng(0))
    first, second = (np.exp(row) / np.exp(row).sum() for row in ([0.5, 0.0], [0.3, 0.4]))  # similarities over the temperature
    assert contrast.item() == pytest.approx(-(np.log(first[0]) + np.log(second[1])) / 2, abs=1e-6)


def test_agreement_by_hand():
    documents = np.eye(30, dtype=np.float32)
    teacher, moved = np.zeros((1, 30), np.float32), np.zeros((1, 30), np.float32)
    teacher[0, :10], moved[0, 5:15] = 1, 1
    moved[0, 7] = 2
    measures = Probe(Queries(["a"], np.array([7])), teacher, documents).measure(moved)
    ties = np.mean(1 / np.log2(np.arange(10) + 2))  # the teacher's ten documents are tied
    assert measures == pytest.approx({"cosine": 6 / np.sqrt(10 * 13), "recall@10": 0.5, "ndcg@10": 1.0, "kept": 1 / ties})
