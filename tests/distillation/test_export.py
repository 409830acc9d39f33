import shutil
import subprocess
import sys

import numpy as np
import pytest

from recsys_core.artefacts import read_json, write_json
from recsys_core.distillation import build
from recsys_core.distillation.build import StudentConfig, build_student
from recsys_core.distillation.static import StaticConfig
from recsys_core.errors import BundleError
from recsys_core.student.encoders import STUDENT_FLOAT, OnnxEncoder, StaticEncoder, load_student
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from recsys_core.text_encoder.vectors import VectorCache
from tests.distillation.test_static import TEXTS
from tests.text_encoder.tiny_encoder import write_tiny_bert

QUERIES = [
    "red mug", "fresh organic milk bread cheese butter apple pear fruit dairy", "lamp", "red mug", "", "  Red,  MUG lamp-lamp "]
CONFIG = StudentConfig(max_queries=150, static=StaticConfig(max_steps=5, batch_queries=32))


def catalogue(texts):
    import polars as pl

    return pl.DataFrame({"text": texts, "title": texts}).with_columns(brand=pl.lit("Alder"), category=pl.lit("Kitchen > Mugs"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", max_length=10))


@pytest.fixture(scope="module")
def folder(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    build_student(folder, teacher, catalogue(TEXTS[:60]), ["red lamp"], CONFIG, 0, VectorCache(folder / "cache"))
    return folder / "student"


def test_folder_holds_exactly_what_serving_needs(teacher, folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"student.json", "static/student.safetensors", "static/tokenizer.json", "static/student.json",
                     "onnx/student.onnx", "onnx/student-float32.onnx", "onnx/tokenizer.json", "onnx/student.json"}
    about = read_json(folder / "student.json")
    assert about["teacher"] == teacher.fingerprint == load_student(folder).teacher
    assert about["queries"]["logged"] == 1 and about["queries"]["generated"] > 20 and about["queries"]["held_out"]
    assert sorted(about["comparison"]) == ["static student", "teacher", "the same without a teacher",
                                                 "transformer student, float32", "transformer student, int8"]
    assert about["comparison"]["teacher"]["kept"] == 1 and about["comparison"]["static student"]["cosine"] > 0.8


@pytest.mark.parametrize("kept, tier", [(0.0, StaticEncoder), (1.0, OnnxEncoder)])
def test_the_transformer_serves_where_the_static_student_keeps_too_little(teacher, folder, tmp_path, monkeypatch, kept, tier):
    monkeypatch.setattr(build, "export_onnx", lambda encoder, target: shutil.copytree(folder / "onnx", target))
    monkeypatch.setattr(build.Probe, "measure", lambda self, vectors: {"kept": 0.5})
    build_student(tmp_path, teacher, catalogue(TEXTS[:60]), [], CONFIG.model_copy(update={"least_kept": kept}), 0,
                  VectorCache(tmp_path / "cache"))
    assert isinstance(load_student(tmp_path / "student"), tier)


@pytest.mark.parametrize("texts", [["red mug"], ["..."], ["red mug", "blue lamp"]])
def test_the_smallest_shops_get_a_student_too(teacher, folder, tmp_path, monkeypatch, texts):
    monkeypatch.setattr(build, "export_onnx", lambda encoder, target: shutil.copytree(folder / "onnx", target))
    about = build_student(tmp_path, teacher, catalogue(texts), [], CONFIG, 0, VectorCache(tmp_path / "cache"))
    assert not about["queries"]["held_out"]
    assert np.isfinite(load_student(tmp_path / "student").encode(QUERIES)).all()


@pytest.mark.parametrize("encoder", [StaticEncoder, OnnxEncoder])
def test_vectors_have_unit_length_and_do_not_depend_on_neighbours(folder, encoder):
    student = encoder.load(folder / ("static" if encoder is StaticEncoder else "onnx"))
    vectors = student.encode(QUERIES)
    assert vectors.shape == (6, student.dim) and vectors.dtype == np.float32
    told = [row for row, text in enumerate(QUERIES) if text or encoder is OnnxEncoder]
    np.testing.assert_allclose(np.linalg.norm(vectors[told], axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    for row, text in enumerate(QUERIES):
        np.testing.assert_array_equal(vectors[row], student.encode([text])[0])
    assert student.encode([]).shape == (0, student.dim)


def test_a_tokenizer_that_reads_across_words_gives_the_same_as_one_word_at_a_time(folder):
    words, whole = StaticEncoder.load(folder / "static"), StaticEncoder.load(folder / "static")
    whole.settings["by_word"] = False
    np.testing.assert_array_equal(words.encode(QUERIES), whole.encode(QUERIES))


def test_words_that_are_a_token_are_read_as_the_tokenizer_reads_them(folder):
    words, whole = StaticEncoder.load(folder / "static"), StaticEncoder.load(folder / "static")
    texts = ["red mug", "RED Mug", "Réd", "redmug lamps", "[PAD] ##d"]
    assert words.settings["uncased"] and "red" in words._whole
    whole._whole, whole._known = {}, {}
    np.testing.assert_array_equal(words.encode(texts), whole.encode(texts))


def test_served_vectors_follow_their_teacher(teacher, folder):
    wanted = teacher.encode(QUERIES[:3])
    int8, precise = (OnnxEncoder.load(folder / "onnx", model=name).encode(QUERIES[:3])
                     for name in ("student.onnx", STUDENT_FLOAT))
    assert (int8 * wanted).sum(1).min() > 0.98 and (precise * wanted).sum(1).min() > 0.9999


def test_serving_needs_neither_torch_nor_transformers_nor_onnxruntime(folder):
    code = ("import sys; from recsys_core.student.encoders import load_student;"
            f"load_student({str(folder)!r}).encode(['red mug']);"
            "sys.exit(bool({'torch', 'transformers', 'peft', 'scipy', 'onnxruntime'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", [
    "static/student.safetensors", "static/tokenizer.json", "onnx/student.onnx", "onnx/tokenizer.json"])
def test_tampered_file_is_refused_before_it_is_parsed(tmp_path, folder, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_bytes(b"\x80\x04 not what was exported")
    encoder = StaticEncoder if name.startswith("static") else OnnxEncoder
    with pytest.raises(BundleError, match=name.split("/")[1]):
        encoder.load(copy / name.split("/")[0])


def test_missing_and_older_settings_are_refused(tmp_path, folder):
    copy = shutil.copytree(folder, tmp_path / "copy")
    write_json(copy / "student.json", {"format": 1, "files": {}})
    with pytest.raises(BundleError, match="student format 1"):
        load_student(copy)
    (copy / "student.json").unlink()
    with pytest.raises(BundleError, match=r"student\.json"):
        load_student(copy)


def test_failed_export_leaves_the_previous_student(teacher, tmp_path, monkeypatch):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "student.json").write_text("previous")
    monkeypatch.setattr(build, "export_onnx", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_student(tmp_path, teacher, catalogue(TEXTS[:40]), [], CONFIG, 0, VectorCache(tmp_path / "cache"))
    assert (tmp_path / "student" / "student.json").read_text() == "previous"
    assert {path.name for path in tmp_path.iterdir()} == {"student", "cache"}
