"""The text encoder's artefact: tuned before every window, honest about what it cannot read."""

import logging

import pytest

from recsys_core.text_encoder.encoder import EncoderConfig
from recsys_core.text_encoder.finetune import FinetuneConfig
from recsys_core.text_encoder.lora import LoraSettings
from recsys_core.text_encoder.pairs import PairConfig
from recsys_core.text_encoder.tune import TextEncoderArtefact, build_text_encoder
from tests.adaptation.built import built_shop, folder, shop_words
from tests.text_encoder.tiny_encoder import WORDS, write_tiny_bert


@pytest.fixture(scope="module")
def built():
    return built_shop()


def build(place, built, words, **finetune):
    model = write_tiny_bert(place.parent / f"pretrained-{place.name}", words=words)
    settings = FinetuneConfig(**{"max_steps": 0, "lora": LoraSettings(freeze_layers=0)} | finetune)
    return build_text_encoder(folder(place), items=built.items, interactions=built.tables["interactions"],
                              plan=built.plan, encoder=EncoderConfig(model=str(model), dtype="float32", device="cpu"),
                              pairs=PairConfig(), finetune=settings, seed=0)


def test_the_cut_off_is_the_earliest_window_of_any_segment(built):
    assert built.encoder.about["cutoff"] == min(window.support_start for window in built.plan.values())
    assert built.encoder.about["cutoff"] == built.plan["toys"].support_start < built.plan["spring-fair"].support_start


def test_no_steps_keep_the_pretrained_weights(built):
    assert built.encoder.about["kept"] is False
    assert not (built.encoder.folder / "adapter").exists()
    assert built.encoder.load().fingerprint["dim"] == 32


def test_tuning_that_helps_is_kept_with_its_peft_folder(built, tmp_path):
    about = build(tmp_path / "tuned", built, shop_words(), max_steps=20, batch_pairs=32, learning_rate=1e-2)
    assert about["kept"] and about["curves"][-1]["held_out_loss"] < about["curves"][0]["held_out_loss"]
    assert (tmp_path / "tuned" / "adapter" / "adapter_model.safetensors").is_file()
    artefact = TextEncoderArtefact(tmp_path / "tuned")
    assert artefact.about == about
    assert artefact.load().fingerprint["weights"] != built.encoder.load().fingerprint["weights"]


def test_the_same_seed_makes_the_same_encoder(built, tmp_path):
    for name in ("one", "two"):
        build(tmp_path / name, built, shop_words(), max_steps=3, batch_pairs=32)
    one, two = (TextEncoderArtefact(tmp_path / name) for name in ("one", "two"))
    assert one.load().fingerprint == two.load().fingerprint
    assert one.about["curves"] == two.about["curves"]


def test_a_shop_in_words_the_encoder_does_not_know_is_warned_of(built, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        about = build(tmp_path / "foreign", built, WORDS)
    assert about["unknown_share"] > 0.5 > built.encoder.about["unknown_share"]
    assert "multilingual" in caplog.text
