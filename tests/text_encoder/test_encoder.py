import json
import pickle
from itertools import chain

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsys_core.errors import ModelError
from recsys_core.text_encoder.encoder import EncoderConfig, TextEncoder, load_encoder
from recsys_core.text_encoder.pretrained import PACKAGED_MODEL
from recsys_core.text_encoder.scripts import check_reading
from recsys_core.text_encoder.vectors import VectorCache, cached_encode
from tests.elsewhere import Elsewhere
from tests.text_encoder.tiny_encoder import write_tiny_bert, write_tiny_llama

TEXTS = ["red mug", "organic fresh milk bread cheese", "lamp", "red mug", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture
def encoder(folder):
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", device="cpu"))


def test_vectors_are_unit_float32_in_the_order_of_the_texts(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, encoder.dim) == (5, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(vectors[row], encoder.encode([text])[0], atol=1e-5)
    assert vectors[0] @ vectors[2] < 0.999
    assert encoder.encode([]).shape == (0, 32)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_matches_transformers_own_states(folder, pooling):
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder = load_encoder(EncoderConfig(model=str(folder), pooling=pooling, dtype="float32"))
    inputs = AutoTokenizer.from_pretrained(folder)("blue tea cup", return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state[0].numpy()
    expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
    long = "red red red red red red"  # padding beside a longer text must not change anything
    vector = encoder.encode(["blue tea cup", long])[0]
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_each_distinct_text_is_encoded_once_and_batches_keep_to_the_budget(folder):
    encoder = load_encoder(EncoderConfig(model=str(folder), batch_tokens=12, dtype="float32"))
    batches, embed = [], encoder.embed
    encoder.embed = lambda ids: batches.append(ids) or embed(ids)
    encoder.encode(["red", "blue", "red", "big green rug", "tea set of red cup lamp milk bread pear big rug"])
    assert [len(batch) for batch in batches] == [1, 2, 1]  # 13 tokens alone; 5 + 3; 3
    assert max(len(batch) * len(batch[0]) for batch in batches[1:]) <= 12


def test_batches_halve_when_memory_runs_out(encoder):
    texts = ["red", "blue", "green", "big", "small", "tea", "mug"]
    expected, embed, sizes = encoder.encode(texts), encoder.embed, []

    def scarce(ids):
        sizes.append(len(ids))
        if len(ids) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return embed(ids)

    encoder.embed = scarce
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]


def test_other_failures_are_not_taken_for_memory(encoder):
    def broken(ids):
        raise RuntimeError("shapes do not match")

    encoder.embed = broken
    with pytest.raises(RuntimeError, match="shapes"):
        encoder.encode(["red", "blue"])


def test_max_length_cuts_long_texts_and_enters_the_fingerprint(folder, encoder):
    short = load_encoder(EncoderConfig(model=str(folder), max_length=4, dtype="float32"))
    vectors = short.encode(["red mug lamp rug", "red mug chair"])  # [CLS] red mug [SEP]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    changed = {key for key in short.fingerprint if short.fingerprint[key] != encoder.fingerprint[key]}
    assert changed == {"max_length"}


def test_fingerprint_follows_the_weights(folder, encoder, tmp_path):
    other = load_encoder(EncoderConfig(model=str(write_tiny_bert(tmp_path / "other", seed=1))))
    again = load_encoder(EncoderConfig(model=str(folder)))
    assert again.fingerprint == encoder.fingerprint
    assert other.fingerprint["weights"] != encoder.fingerprint["weights"]
    assert other.fingerprint["tokenizer"] == encoder.fingerprint["tokenizer"]


def test_unknown_share_counts_tokens_outside_the_vocabulary(encoder):
    assert encoder.unknown_share(["red mug", "blue lamp"]) == 0
    assert encoder.unknown_share(["red xylophone", "blue lamp"]) == 0.25
    assert encoder.unknown_share([]) == 0


def test_a_tokenizer_that_reads_bytes_knows_every_script(encoder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    rules = Tokenizer(models.BPE({letter: row for row, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel()
    bytewise = TextEncoder(encoder.model, PreTrainedTokenizerFast(tokenizer_object=rules), pooling="mean", max_length=16)
    assert bytewise.unknown_share(["木制火车"]) == 0 and encoder.unknown_share(["木制火车"]) == 1


def test_unread_texts_are_warned_of_with_share_example_and_fix(encoder, caplog):
    known = ["red mug", "blue lamp", "big green rug"]
    assert check_reading(encoder, known) == 0 and not caplog.records
    assert check_reading(encoder, [*known, "木制"]) == pytest.approx(2 / 9)
    for part in ("22%", "'木制'", encoder.source, "multilingual"):
        assert part in caplog.text


def test_save_and_load_give_the_same_vectors_and_fingerprint(encoder, tmp_path):
    encoder.save(tmp_path / "saved")
    loaded = TextEncoder.load(tmp_path / "saved", dtype="float32")
    assert loaded.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(loaded.encode(TEXTS), encoder.encode(TEXTS))
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "encoder.json"} <= names
    by_config = load_encoder(EncoderConfig(model=str(tmp_path / "saved")))
    assert by_config.pooling == encoder.pooling


def test_changed_weights_are_refused(encoder, tmp_path):
    encoder.save(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    weights = load_file(path)
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] + 1}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="its weights is not the one"):
        TextEncoder.load(tmp_path / "saved")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "encoder.json"])
def test_missing_file_is_named(encoder, tmp_path, name):
    encoder.save(tmp_path / "saved")
    (tmp_path / "saved" / name).unlink()
    culprit = "no *.safetensors" if name == "model.safetensors" else f"{name} is missing"
    with pytest.raises(ModelError) as caught:
        TextEncoder.load(tmp_path / "saved")
    assert culprit in caught.value.culprit
    assert str(tmp_path / "saved") in caught.value.artefact


def test_decoder_takes_its_last_token_and_a_padding_token(tmp_path):
    encoder = load_encoder(EncoderConfig(model=str(write_tiny_llama(tmp_path / "llama")), dtype="float32"))
    assert encoder.pooling == "last"
    assert encoder.tokenizer.pad_token == "</s>"
    alone, together = encoder.encode(["red mug"]), encoder.encode(["red mug", "big green rug of tea"])
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)
    assert np.isfinite(encoder.encode([""])).all()


def test_sentence_transformers_pooling_is_honoured(folder, tmp_path):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "st")
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert load_encoder(EncoderConfig(model=str(copy))).pooling == "cls"


def test_real_weights_order_known_similarities():
    encoder = load_encoder(EncoderConfig())
    assert encoder.source == PACKAGED_MODEL
    coffee, espresso, hammer = encoder.encode(["ground coffee", "espresso beans", "claw hammer"])
    assert coffee @ espresso > 0.5 > 0.3 > coffee @ hammer


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(folder, encoder):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = load_encoder(EncoderConfig(model=str(folder), device="cuda"))
    assert (on_gpu.encode(TEXTS) * encoder.encode(TEXTS)).sum(1).min() > 0.99


def test_a_part_alone_gives_the_vectors_that_it_gives_among_the_others(encoder, tmp_path):
    encoder.save(tmp_path / "saved")
    loaded = TextEncoder.load(tmp_path / "saved", batch_tokens=12, dtype="float32", device="cpu")
    words = ["red", "mug", "blue", "lamp", "big", "green", "rug", "tea", "set", "of", "cup", "milk", "bread", "pear"]
    texts = [" ".join([*words[n % 7:n % 7 + 1 + n % 5], words[n % 14]]) for n in range(200)]
    texts = sorted(set(texts))
    parts, elsewhere = loaded.cut(texts), Elsewhere()
    assert len(parts) > 2 and sorted(chain.from_iterable(parts)) == texts
    vectors = cached_encode(loaded, texts, VectorCache(tmp_path / "cache", elsewhere))
    assert elsewhere.tasks == [len(parts)]
    np.testing.assert_array_equal(vectors, loaded.encode(texts))
    np.testing.assert_array_equal(vectors, cached_encode(loaded, texts, VectorCache(tmp_path / "other")))


def test_a_loaded_encoder_pickles_as_its_folder(encoder, tmp_path):
    encoder.save(tmp_path / "saved")
    loaded = TextEncoder.load(tmp_path / "saved", batch_tokens=12, dtype="float32", device="cpu")
    sent = pickle.dumps(loaded)
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    assert (copy.fingerprint, copy.batch_tokens, copy.dtype) == (loaded.fingerprint, 12, "float32")
    by_value = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(by_value.encode(TEXTS), encoder.encode(TEXTS))
