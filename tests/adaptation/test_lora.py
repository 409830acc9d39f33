"""LoRA over replayed activations: the same as the whole encoder, an ordinary PEFT folder, and really alive."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.adaptation import lora
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import prepare
from recsys_core.adaptation.lora import LoraConfig, adapt_lora, lora_task
from recsys_core.adaptation.prefix import Prefix
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


def shots(prior, word="red", k=48, seed=0):
    """K shots of a taste for a word, and the base's distribution there."""
    taste = likes(prior.catalogue, word=word, factor=30)
    items = np.random.default_rng(seed).choice(len(taste), k, p=taste)
    return items, np.tile(prior.item_share, (k, 1)).astype(np.float32)


def train(prefix, prior, start, peft_folder=None, **settings):
    config = CONFIG.model_copy(update=settings)
    return adapt_lora(prefix, prior, [lora_task(prior, start, *shots(prior), config)], config, [peft_folder])[0]


@pytest.fixture(scope="module")
def trained(encoder, shop, prior, start, tmp_path_factory):
    return train(Prefix(encoder, shop.texts), prior, start, tmp_path_factory.mktemp("lora") / "peft")


def test_replaying_the_prefix_is_encoding_the_text(encoder, shop):
    prefix = Prefix(encoder, shop.texts)
    assert prefix.layer_index == 2 and prefix.replays_exactly
    vectors = np.zeros_like(shop.vectors)
    for batch in prefix.batches(np.arange(len(shop.texts))):
        vectors[batch.rows] = prefix.finish(batch, encoder.model).detach().numpy()
    np.testing.assert_allclose(vectors, shop.vectors, atol=1e-5)


def test_texts_are_captured_once_and_picked_in_any_order(encoder, shop):
    prefix = Prefix(encoder, shop.texts)
    first = prefix.batches(np.array([5, 7, 9]))
    again = prefix.batches(np.array([7, 3]))
    assert again[0] is first[0]
    assert sorted(np.concatenate([batch.rows for batch in again]).tolist()) == [3, 5, 7, 9]
    picked = first[0].pick(np.array([1, 0, 1]))
    assert picked.rows.tolist() == first[0].rows[[1, 0, 1]].tolist()
    vectors = prefix.finish(picked, encoder.model).detach().numpy()
    np.testing.assert_allclose(vectors, shop.vectors[picked.rows], atol=1e-5)


def test_it_learns_what_the_shots_like(trained, shop, prior):
    taste = likes(shop, word="red", factor=30)
    assert gain(taste, prior.item_share, trained.offsets(shop)) > 0.3
    assert trained.method == "lora" and trained.theta.any() and trained.text_values.any()


def test_segments_trained_together_do_not_feel_each_other(encoder, shop, prior, start):
    """Segments of unlike size and taste, alone, in one group, and in groups of one by the token limit: the same."""
    prefix = Prefix(encoder, shop.texts)
    wanted = [("red", 48), ("mug", 5), ("big", 16)]
    tasks = [lora_task(prior, start, *shots(prior, word, k), CONFIG) for word, k in wanted]
    assert len({(task.base.shape) for task in tasks}) == 3
    together = adapt_lora(prefix, prior, tasks, CONFIG)
    in_turn = adapt_lora(prefix, prior, tasks, CONFIG.model_copy(update={"tokens": 1}))
    for task, one, other in zip(tasks, together, in_turn, strict=True):
        alone = adapt_lora(prefix, prior, [task], CONFIG)[0]
        for found in (one, other):
            np.testing.assert_allclose(found.theta, alone.theta, atol=1e-4)
            np.testing.assert_allclose(found.offsets(shop), alone.offsets(shop), atol=1e-3)
            assert found.text_keys.tolist() == alone.text_keys.tolist()
    assert np.abs(together[0].offsets(shop) - together[1].offsets(shop)).max() > 0.1


def test_candidates_hold_every_shot_and_weigh_the_sampled_by_their_chance(prior, start):
    """Over many seeds the weighted candidates stand for the whole catalogue: exp(base) sums to the base's total, 1."""
    items, base = shots(prior, k=12)
    totals = []
    for seed in range(300):
        task = lora_task(prior, start, items, base, CONFIG.model_copy(update={"negatives": 10, "seed": seed}))
        assert (task.rows[task.labels] == prior.catalogue.text_of_item[items]).all()
        assert len(np.unique(prior.catalogue.text_of_item[items])) + 9 <= len(task.rows)
        totals.append(np.exp(task.base[0].astype(np.float64)).sum())
    assert np.mean(totals) == pytest.approx(1.0, abs=0.01)


def test_texts_beyond_the_coverage_keep_the_direction_alone(encoder, shop, prior, start):
    found = train(Prefix(encoder, shop.texts), prior, start, coverage=0.5)
    unread = ~np.isin(shop.text_keys, found.text_keys)
    assert 0 < unread.sum() < len(unread)
    np.testing.assert_allclose(found.offsets(shop)[unread[shop.text_of_item]],
                               (shop.vectors @ found.theta)[shop.text_of_item][unread[shop.text_of_item]], atol=1e-6)


def test_groups_of_the_closed_form_stay(encoder, shop, prior, start):
    moved = train(Prefix(encoder, shop.texts), prior, replace(start, groups={"category_1|dairy": 1.25}))
    assert set(moved.parts(shop)["segment_groups"].tolist()) == {0.0, 1.25}


def test_its_folder_is_an_ordinary_peft_adapter(trained, folder, encoder, shop):
    """Loaded by PEFT itself onto the base's weights, the model's vectors give the same values as the adapter holds."""
    import json

    import torch
    from peft import PeftModel
    from transformers import AutoModel

    network = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), str(trained.peft_folder))
    vectors = encoder.with_model(network).encode(shop.texts)
    values = (shop.vectors @ trained.theta).astype(np.float32)
    row_of = {key: row for row, key in enumerate(shop.text_keys.tolist())}
    values[[row_of[key] for key in trained.text_keys.tolist()]] += trained.text_values
    np.testing.assert_allclose(vectors @ trained.theta, values, atol=1e-4)
    assert np.abs((vectors - shop.vectors) @ trained.theta).max() > 1e-2  # and LoRA moved them
    updates = [p.abs().max() for name, p in network.named_parameters() if "lora_B" in name]
    assert len(updates) == 2 and torch.stack(updates).min() > 0
    told = json.loads((trained.peft_folder / "adapter_config.json").read_text())
    assert told["layers_to_transform"] == [2] and told["base_model_name_or_path"] == encoder.source
    merged = encoder.with_model(network.merge_and_unload()).encode(shop.texts)
    np.testing.assert_allclose(merged, vectors, atol=1e-5)


def test_a_lost_update_is_not_live(encoder, shop, prior, start, monkeypatch):
    """lora_B zeroed: the LoRA adds exactly nothing, and liveness fails although θ alone would move the ranking."""
    def lost(*args):
        found = genuine(*args)
        return replace(found, weights={name: (a, np.zeros_like(b)) for name, (a, b) in found.weights.items()})

    genuine = lora.train
    monkeypatch.setattr(lora, "train", lost)
    found = train(Prefix(encoder, shop.texts), prior, start)
    assert np.ptp(shop.vectors @ found.theta) > 0.1 and not found.text_values.any()
    assert not found.is_live(shop)
    assert replace(found, text_keys=np.zeros(0, np.int64), text_values=np.zeros(0, np.float32)).is_live(shop)


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
    taste = likes(shop, word="red", factor=30)
    assert gain(taste, prior.item_share, found.offsets(shop)) > 0


@pytest.mark.gpu
def test_cuda_trains_what_the_cpu_trains(folder, trained, shop, prior, start):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = load_encoder(EncoderConfig(model=str(folder), device="cuda", dtype="float32"))
    found = train(Prefix(on_gpu, shop.texts), prior, start)
    np.testing.assert_allclose(found.offsets(shop), trained.offsets(shop), atol=0.05)
