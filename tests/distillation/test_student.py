import itertools

import numpy as np
import pytest

from recsys_core.distillation.agreement import Probe
from recsys_core.distillation.student import StudentConfig, distil_student, distillation_loss, layer_list
from recsys_core.errors import ModelError
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder, weights_hash
from recsys_core.text_encoder.vectors import VectorCache
from tests.text_encoder.tiny_encoder import WORDS, write_tiny_bert, write_tiny_llama

TEXTS = [" ".join(words) for words in itertools.islice(itertools.permutations(WORDS, 3), 0, 24_000, 40)]
CONFIG = StudentConfig(layers=2, max_steps=60, batch_texts=64, learning_rate=3e-3, held_out=50)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert", layers=4)
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def student(teacher):
    return distil_student(teacher, TEXTS, CONFIG, seed=0)


def test_student_is_smaller_and_lives_in_the_teachers_space(teacher, student):
    assert len(layer_list(student.encoder.model)) == 2
    assert student.encoder.dim == teacher.dim
    assert student.teacher == teacher.fingerprint
    assert student.encoder.fingerprint["weights"] != teacher.fingerprint["weights"]
    assert weights_hash(teacher.model) == teacher.fingerprint["weights"]


def test_the_layers_kept_are_spread_and_end_with_the_last(teacher):
    """With every layer kept nothing is lost; with one, it is the teacher's last."""
    config = CONFIG.model_copy(update={"max_steps": 1, "learning_rate": 1e-12})
    whole = distil_student(teacher, TEXTS, config.model_copy(update={"layers": 4}), seed=0)
    assert whole.agreement["text"]["cosine"] == pytest.approx(1, abs=1e-4)
    one = distil_student(teacher, TEXTS, config.model_copy(update={"layers": 1}), seed=0)
    kept, last = (list(layer_list(encoder.model))[-1].state_dict() for encoder in (one.encoder, teacher))
    assert all((kept[name] - last[name]).abs().max() < 1e-6 for name in last)


def test_training_brings_it_closer_on_texts_and_queries_it_never_saw(teacher, student):
    untrained = distil_student(teacher, TEXTS, CONFIG.model_copy(update={"learning_rate": 1e-9}), seed=0)
    for name, chance in (("text", 10 / len(TEXTS)), ("query", 10 / len(TEXTS))):
        before, after = untrained.agreement[name], student.agreement[name]
        assert after["cosine"] > before["cosine"] + 0.02
        assert after["recall@10"] > before["recall@10"] + 0.05 > chance
    assert student.curves[-1]["loss"] < student.curves[0]["loss"]


def test_probes_hold_teacher_vectors_of_held_out_texts(teacher, student):
    for name, probe in student.probes.items():
        assert 0 < len(probe.texts) <= 50
        np.testing.assert_allclose(probe.vectors, teacher.encode(probe.texts), atol=1e-5)
        assert student.agreement[name] == probe.measure(student.encoder.encode(probe.texts))
    assert set(student.probes["text"].texts) <= set(TEXTS)
    assert not set(student.probes["query"].texts) & set(TEXTS)
    assert {len(text.split()) for text in student.probes["query"].texts} <= {1, 2}


def test_same_seed_same_student(teacher, tmp_path):
    config = CONFIG.model_copy(update={"max_steps": 3})
    cache = VectorCache(tmp_path)
    runs = [distil_student(teacher, TEXTS, config, seed=seed, cache=cache) for seed in (1, 1, 2)]
    weights = [run.encoder.fingerprint["weights"] for run in runs]
    assert weights[0] == weights[1] != weights[2]


def test_decoders_can_be_distilled_too(tmp_path):
    llama = load_encoder(EncoderConfig(model=str(write_tiny_llama(tmp_path / "llama")), dtype="float32"))
    student = distil_student(llama, TEXTS, CONFIG.model_copy(update={"layers": 1, "max_steps": 2}), seed=0)
    student.encoder.save(tmp_path / "student")
    again = load_encoder(EncoderConfig(model=str(tmp_path / "student"), dtype="float32"))
    np.testing.assert_allclose(again.encode(["red mug"]), student.encoder.encode(["red mug"]), atol=1e-5)


@pytest.mark.parametrize("texts", [["red", "blue", "red", " "], ["red"], ["", " "]])
def test_too_few_texts_leave_the_teacher(teacher, caplog, texts):
    student = distil_student(teacher, texts, CONFIG, seed=0)
    assert student.encoder is teacher and student.curves == [] and "too few to learn from" in caplog.text
    assert student.agreement["query"]["cosine"] == pytest.approx(1.0)


def test_clear_errors(teacher):
    with pytest.raises(ModelError, match="5 layers asked for, the teacher has 4"):
        distil_student(teacher, TEXTS, CONFIG.model_copy(update={"layers": 5}), seed=0)


def test_loss_by_hand():
    import torch

    teacher, student = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    config = StudentConfig(temperature=1.0, softening=2.0, alpha=0.5, vector_weight=3.0)
    parts = {name: value.item() for name, value in distillation_loss(student, teacher, config).items()}
    cross_entropy = np.mean([np.log(1 + np.exp(-1)), np.log(1 + np.exp(-0.2))])
    wanted = np.exp([0.5, 0]) / np.exp([0.5, 0]).sum()  # similarities (1, 0) softened by T = 2
    own = np.exp([0.4, 0.3]) / np.exp([0.4, 0.3]).sum()
    kl = (wanted * np.log(wanted / own)).sum() / 2  # the first row agrees exactly
    assert parts["cross_entropy"] == pytest.approx(cross_entropy, abs=1e-6)
    assert parts["kl"] == pytest.approx(kl, abs=1e-6)
    assert parts["vector"] == pytest.approx(0.1, abs=1e-6)
    assert parts["loss"] == pytest.approx(cross_entropy + 0.5 * 4 * kl + 0.3, abs=1e-5)


def test_agreement_by_hand():
    documents = np.eye(30, dtype=np.float32)
    teacher = np.zeros((1, 30), np.float32)
    teacher[0, :10] = 1
    moved = np.zeros((1, 30), np.float32)
    moved[0, 5:15] = 1
    measures = Probe(["a"], teacher, documents).measure(moved)
    assert measures == pytest.approx({"cosine": 0.5, "recall@10": 0.5})
