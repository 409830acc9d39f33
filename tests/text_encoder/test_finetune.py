import json

import numpy as np
import pytest
import scipy.sparse as sp

from recsys_core.errors import ModelError
from recsys_core.text_encoder.contrastive import CachedGradient, HeldOut, info_nce, micro_batches
from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from recsys_core.text_encoder.finetune import FinetuneConfig, finetune_encoder
from recsys_core.text_encoder.lora import LoraSettings, add_lora, merge_lora, target_modules
from recsys_core.text_encoder.pairs import NO_BASKET, Pairs
from tests.text_encoder.tiny_encoder import WORDS, write_tiny_bert, write_tiny_llama

LORA = LoraSettings(freeze_layers=0, dropout=0.1)
CONFIG = FinetuneConfig(max_steps=20, batch_pairs=32, evaluate_every=5, learning_rate=1e-2, held_out=0.2,
                        lora=LORA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", device="cpu"))


def make(texts, anchor, positive, related=None):
    count = len(anchor)
    none = np.full(count, NO_BASKET)
    related = sp.csr_array(np.eye(len(texts), dtype=bool)) if related is None else related
    return Pairs(texts, np.array(anchor), np.array(positive), np.ones(count, np.int8), none, none, related)


@pytest.fixture(scope="module")
def planted():
    """Ten themes: any two texts with the same theme word belong together, whatever else they say."""
    themes, others = WORDS[:10], WORDS[10:]
    texts = [f"{theme} {other}" for theme in themes for other in others]
    theme = np.arange(len(texts)) // len(others)
    rng = np.random.default_rng(0)
    anchor = np.repeat(np.arange(len(texts)), 3)
    positive = np.array([rng.choice(np.flatnonzero((theme == theme[row]) & (np.arange(len(texts)) != row)))
                         for row in anchor])
    return make(texts, anchor, positive, sp.csr_array(theme[:, None] == theme))


@pytest.fixture(scope="module")
def result(encoder, planted):
    return finetune_encoder(encoder, planted, CONFIG, seed=1)


def test_planted_themes_are_learnt_and_the_best_look_is_kept(encoder, result):
    first, best = result.curves[0], next(row for row in result.curves if row["kept"])
    assert sum(row["kept"] for row in result.curves) == 1
    assert best["held_out_loss"] <= 1.005 * min(row["held_out_loss"] for row in result.curves)
    assert best["held_out_mrr"] > 1.5 * first["held_out_mrr"]
    same, other = ["red milk", "red zen"], ["red milk", "blue milk"]
    before, after = encoder.encode(same + other), result.encoder.encode(same + other)
    gap = [vectors[0] @ vectors[1] - vectors[2] @ vectors[3] for vectors in (before, after)]
    assert gap[1] > gap[0] + 0.2
    json.dumps(result.curves, allow_nan=False)


def test_the_given_encoder_is_not_changed(folder, encoder, result):
    assert encoder.fingerprint == load_encoder(EncoderConfig(model=str(folder))).fingerprint
    from recsys_core.text_encoder.encoder import weights_hash

    assert weights_hash(encoder.model) == encoder.fingerprint["weights"]
    assert result.encoder.fingerprint["weights"] != encoder.fingerprint["weights"]


def test_same_seed_same_weights(encoder, planted):
    config = CONFIG.model_copy(update={"max_steps": 5})
    weights = [finetune_encoder(encoder, planted, config, seed=seed).encoder.fingerprint["weights"]
               for seed in (3, 3, 4)]
    assert weights[0] == weights[1] != weights[2]


def test_pretrained_weights_are_kept_where_nothing_improves(encoder, planted, tmp_path):
    shuffled = make(planted.texts, planted.anchor, np.random.default_rng(1).permutation(planted.positive))
    result = finetune_encoder(encoder, shuffled, CONFIG, seed=1)
    assert result.encoder is encoder
    assert [row["step"] for row in result.curves if row["kept"]] == [0]
    assert len(result.curves) == 1 + CONFIG.patience  # stopped early
    with pytest.raises(ModelError, match="no adapter"):
        result.save_adapter(tmp_path / "adapter")


def test_adapter_folder_loads_with_peft_and_equals_the_merged_encoder(folder, encoder, result, tmp_path):
    from peft import PeftModel
    from transformers import AutoModel

    result.save_adapter(tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    adapted = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), tmp_path / "adapter").eval()
    texts = ["red milk", "small organic cup"]
    vectors = encoder.embed(encoder.tokenize(texts), adapted).detach().numpy()
    np.testing.assert_allclose(vectors, result.encoder.encode(texts), atol=1e-5)
    assert np.abs(vectors - encoder.encode(texts)).max() > 1e-2


def test_too_few_pairs_keep_the_pretrained_encoder(encoder, caplog):
    for pairs in (make(["red", "blue", "mug"], [0, 1], [1, 2]), make(["red"], [], [])):
        result = finetune_encoder(encoder, pairs, CONFIG, seed=0)
        assert (result.encoder, result.adapter, result.curves) == (encoder, None, [])
    assert "2 pairs are too few" in caplog.text


def test_info_nce_by_hand():
    import torch

    anchors = torch.eye(2)
    positives = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    none, masked = torch.zeros(2, 2, dtype=torch.bool), torch.tensor([[False, True], [False, False]])
    rows = (np.log(np.exp(1.0) + np.exp(0.6)) - 1, np.log(1 + np.exp(0.8)) - 0.8)
    columns = (np.log(np.exp(1.0) + 1) - 1, np.log(np.exp(0.6) + np.exp(0.8)) - 0.8)
    assert info_nce(anchors, positives, none, 1.0).item() == pytest.approx((sum(rows) + sum(columns)) / 4)
    rows, columns = (0.0, rows[1]), (columns[0], 0.0)  # positive 1 is no negative of anchor 0, either way
    assert info_nce(anchors, positives, masked, 1.0).item() == pytest.approx((sum(rows) + sum(columns)) / 4)


def gradient_of(encoder, micro_tokens, before=lambda trainer: None):
    texts = ["red mug", "small cup of tea", "lamp", "blue rug home", "milk", "fresh bread"]
    trainer = CachedGradient(encoder, micro_tokens)
    before(trainer)
    encoder.model.zero_grad(set_to_none=True)
    loss = trainer.backward(encoder.tokenize(texts), np.array([0, 1, 2, 0]), np.array([3, 4, 5, 4]),
                            np.zeros((4, 4), bool), 0.1, seed=5)
    return loss, {name: value.grad.numpy().copy() for name, value in encoder.model.named_parameters()
                  if value.grad is not None}, trainer


def test_gradient_in_micro_batches_equals_the_whole_batchs(encoder):
    adapted = add_lora(encoder, LoraSettings(freeze_layers=0, dropout=0.0))
    whole, expected, _ = gradient_of(adapted, 1000)
    loss, gradients, _ = gradient_of(adapted, 8)
    assert loss == pytest.approx(whole, abs=1e-5)
    assert expected.keys() == gradients.keys() and expected
    for name in expected:
        np.testing.assert_allclose(gradients[name], expected[name], atol=1e-5)


def test_micro_batches_halve_when_memory_runs_out(encoder):
    adapted = add_lora(encoder, LoraSettings(freeze_layers=0, dropout=0.0))
    _, expected, _ = gradient_of(adapted, 1000)
    embed = adapted.embed

    def scarce(ids):
        if len(ids) * max(map(len, ids)) > 12:
            raise MemoryError
        return embed(ids)

    adapted.embed = scarce
    _, gradients, trainer = gradient_of(adapted, 40)
    assert trainer.micro_tokens == 10
    for name in expected:
        np.testing.assert_allclose(gradients[name], expected[name], atol=1e-5)


def test_only_lora_above_the_frozen_layers_is_trained(encoder):
    adapted = add_lora(encoder, LoraSettings(freeze_layers=1))
    trained = [name for name, value in adapted.model.named_parameters() if value.requires_grad]
    assert len(trained) == 4  # A and B of query and value, in the upper of two layers
    assert all("lora_" in name and "layer.1." in name for name in trained)
    with pytest.raises(ModelError, match="lowest 2 layers"):
        add_lora(encoder, LoraSettings(freeze_layers=2))


def test_lora_finds_other_architectures_and_merges(tmp_path):
    import torch

    llama = load_encoder(EncoderConfig(model=str(write_tiny_llama(tmp_path / "llama")), dtype="float32"))
    assert target_modules(llama.model, 1) == ["layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj"]
    unheard_of = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)))
    assert target_modules(unheard_of, 0) == ["0.0", "0.1"]
    adapted = add_lora(llama, LoraSettings(freeze_layers=1))
    for name, value in adapted.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value)
    merged = merge_lora(adapted)
    assert not any("lora" in name for name, _ in merged.model.named_parameters())
    np.testing.assert_allclose(merged.encode(["red mug"]), adapted.encode(["red mug"]), atol=1e-5)


class FixedEncoder:
    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts):
        return np.array([self.vectors[text] for text in texts], np.float32)


def test_held_out_measures_by_hand():
    texts = ["query", "right", "wrong", "known"]
    related = np.eye(4, dtype=bool)
    related[0, [1, 3]] = related[[1, 3], 0] = True
    held = make(texts, [0], [1], sp.csr_array(related))
    judge = HeldOut(held, np.array([0, 2, 3]))
    vectors = {"query": [1, 0], "right": [0.5, 0], "wrong": [0.6, 0], "known": [1, 0]}
    measures = judge.measure(FixedEncoder(vectors))
    assert measures["held_out_mrr"] == 0.5  # wrong is above; the other known positive does not count
    assert measures["held_out_loss"] == pytest.approx(np.log(2), abs=1e-5)  # misled: worth a coin toss
    measures = judge.measure(FixedEncoder({**vectors, "wrong": [0.48, 0]}))
    assert measures["held_out_mrr"] == 1
    assert measures["held_out_loss"] == pytest.approx(np.log(1 + np.exp(-0.02 / 0.02)), abs=1e-5)
    measures = judge.measure(FixedEncoder({**vectors, "wrong": [0.5, 0]}))
    assert measures["held_out_mrr_taxonomy"] == pytest.approx(1 / 1.5)  # expected rank over the tie


def test_micro_batches_cover_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    parts = micro_batches(lengths, 64)
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert all(len(part) * lengths[part].max() <= 64 for part in parts)
