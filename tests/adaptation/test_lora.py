"""LoRA over replayed activations: the same as the whole encoder, an ordinary PEFT folder, and really alive."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import prepare
from recsys_core.adaptation.lora import LoraConfig, Prefix, adapt_lora, top_layer
from recsys_core.base_model.encoder import EncoderConfig, load_encoder
from tests.adaptation.planted import LOCK, gain, likes, make_catalogue
from tests.base_model.tiny_encoder import write_tiny_bert, write_tiny_llama

CONFIG = LoraConfig(steps=16, learning_rate=1e-2, negatives=48)


def load(folder):
    return load_encoder(EncoderConfig(model=str(folder), dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert", layers=3)


@pytest.fixture(scope="module")
def encoder(folder):
    return load(folder)


@pytest.fixture(scope="module")
def shop(encoder):
    return make_catalogue(encoder.encode)


@pytest.fixture(scope="module")
def prior(shop):
    return prepare(shop, np.full(len(shop), 20.0), LOCK)


@pytest.fixture(scope="module")
def start():
    return Adapter("s", "closed_form", dict(LOCK), np.zeros(32, np.float32))


def train(prefix, prior, start, peft_folder=None, **settings):
    taste = likes(prior.catalogue, word="red", factor=30)
    items = np.random.default_rng(0).choice(len(taste), 48, p=taste)
    base = np.tile(prior.item_share, (48, 1)).astype(np.float32)
    return adapt_lora(prefix, prior, start, items, base, CONFIG.model_copy(update=settings), peft_folder)


@pytest.fixture(scope="module")
def trained(encoder, shop, prior, start, tmp_path_factory):
    return train(Prefix(encoder, shop.texts), prior, start, tmp_path_factory.mktemp("lora") / "peft")


def test_replaying_the_prefix_is_encoding_the_text(encoder, shop):
    prefix = Prefix(encoder, shop.texts)
    assert prefix.layer_index == 2 and prefix.replays_exactly
    layer, vectors = top_layer(encoder.model, 2), np.zeros_like(shop.vectors)
    for batch in prefix.batches:
        vectors[batch.rows] = prefix.replay(batch, layer).detach().numpy()
    np.testing.assert_allclose(vectors, shop.vectors, atol=1e-5)


def test_it_learns_what_the_shots_like(trained, shop, prior):
    taste = likes(shop, word="red", factor=30)
    assert gain(taste, prior.item_share, trained.offsets(shop)) > 0.3
    assert trained.method == "lora" and not trained.theta.any()
    assert trained.text_keys.tolist() == shop.text_keys.tolist()


def test_groups_of_the_closed_form_stay(encoder, shop, prior, start):
    moved = train(Prefix(encoder, shop.texts), prior, replace(start, groups={"category_1|dairy": 1.25}))
    assert set(moved.parts(shop)["segment_groups"].tolist()) == {0.0, 1.25}


def test_its_folder_is_an_ordinary_peft_adapter(trained, folder, encoder, shop):
    """Loaded by PEFT itself onto the base's weights, it moves the texts the same way as the stored values say."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    network = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), str(trained.peft_folder))
    vectors = encoder.with_model(network).encode(shop.texts)
    direction = np.linalg.lstsq(vectors.astype(np.float64), trained.text_values.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(vectors @ direction, trained.text_values, atol=2e-3)
    plain = np.linalg.lstsq(shop.vectors.astype(np.float64), trained.text_values.astype(np.float64), rcond=None)[0]
    assert np.abs(shop.vectors @ plain - trained.text_values).max() > 1e-2  # without LoRA no direction explains them
    assert torch.stack([p.abs().max() for name, p in network.named_parameters() if "lora_B" in name]).min() > 0


def test_zeroed_lora_and_no_direction_are_not_live(encoder, shop, prior, start, monkeypatch):
    """What liveness must catch: an adapter whose update was lost says nothing about any text."""
    import torch

    import recsys_core.adaptation.lora as module

    def lost(prefix, network, layer, tilt):
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if "lora_B" in name:
                    weights.zero_()
            tilt.zero_()
        return values(prefix, network, layer, tilt)

    values = module._values_of_texts
    monkeypatch.setattr(module, "_values_of_texts", lost)
    assert not train(Prefix(encoder, shop.texts), prior, start).is_live(shop)


def test_with_zeroed_lora_only_the_direction_is_left(encoder, shop, prior, start, monkeypatch):
    import torch

    import recsys_core.adaptation.lora as module

    def zeroed(prefix, network, layer, tilt):
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if "lora_B" in name:
                    weights.zero_()
        kept.append(tilt.detach().numpy().copy())
        return values(prefix, network, layer, tilt)

    kept, values = [], module._values_of_texts
    monkeypatch.setattr(module, "_values_of_texts", zeroed)
    found = train(Prefix(encoder, shop.texts), prior, start)
    np.testing.assert_allclose(found.text_values, shop.vectors @ kept[0], atol=1e-4)


def test_an_encoder_whose_top_layer_is_not_its_last_state_runs_in_full(tmp_path, start):
    """A decoder normalises after its last layer: the replay must be found out, and the result still be right."""
    import torch

    encoder = load(write_tiny_llama(tmp_path / "llama"))
    with torch.no_grad():
        encoder.model.norm.weight.copy_(torch.linspace(0.2, 2, 32))
    shop = make_catalogue(encoder.encode)
    prior, prefix = prepare(shop, np.full(len(shop), 20.0), LOCK), Prefix(encoder, shop.texts)
    assert not prefix.replays_exactly
    found = train(prefix, prior, start, steps=3)
    assert np.isfinite(found.text_values).all() and found.is_live(shop)
