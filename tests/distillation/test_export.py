import json
import subprocess
import sys

import numpy as np
import pytest

from recsys_core.distillation.export import export_onnx
from recsys_core.distillation.student import distil_student
from recsys_core.errors import BundleError
from recsys_core.serving.text import OnnxEncoder
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from tests.distillation.test_student import CONFIG, TEXTS
from tests.text_encoder.tiny_encoder import write_tiny_bert

QUERIES = ["red mug", "fresh organic milk bread cheese butter apple pear fruit dairy", "lamp", "red mug", ""]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")
    teacher = load_encoder(EncoderConfig(model=str(folder), dtype="float32", max_length=10))
    return distil_student(teacher, TEXTS, CONFIG.model_copy(update={"layers": 1, "max_steps": 5}), seed=0)


@pytest.fixture(scope="module")
def folder(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student") / "student"
    export_onnx(student, folder)
    return folder


def test_folder_holds_exactly_what_serving_needs(student, folder):
    assert {path.name for path in folder.iterdir()} == {"student.onnx", "tokenizer.json", "student.json"}
    settings = json.loads((folder / "student.json").read_text())
    assert settings["teacher"] == student.teacher
    assert settings["student"] == student.encoder.fingerprint
    assert settings["agreement"]["float32"] == student.agreement
    assert settings["agreement"]["int8"].keys() == {"text", "query"}


def test_served_vectors_follow_the_student(student, folder):
    encoder = OnnxEncoder.load(folder)
    vectors, expected = encoder.encode(QUERIES), student.encoder.encode(QUERIES)
    assert vectors.shape == (5, encoder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert (vectors * expected).sum(1).min() > 0.98
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_array_equal(vectors[1], encoder.encode(QUERIES[1:2])[0])  # neighbours change nothing
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_serving_needs_neither_torch_nor_transformers(folder):
    code = ("import sys; from recsys_core.serving.text import OnnxEncoder;"
            f"OnnxEncoder.load({str(folder)!r}).encode(['red mug']);"
            "sys.exit(bool({'torch', 'transformers', 'peft'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["student.onnx", "tokenizer.json"])
def test_tampered_file_is_refused_before_it_is_parsed(student, tmp_path, folder, name):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_bytes(b"\x80\x04 not what was exported")
    with pytest.raises(BundleError, match=name):
        OnnxEncoder.load(copy)
    (copy / "student.json").unlink()
    with pytest.raises(BundleError, match=r"student\.json"):
        OnnxEncoder.load(copy)


def test_failed_export_leaves_the_previous_student(student, tmp_path, monkeypatch):
    from recsys_core.distillation import export

    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "student.json").write_text("previous")
    monkeypatch.setattr(export, "_quantize", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_onnx(student, folder)
    assert (folder / "student.json").read_text() == "previous"
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
