"""Scripts that an encoder does not read: unknown, or spelled letter by letter."""

import logging

import pytest

from recsys_core.text_encoder.encoder import EncoderConfig, load_encoder
from recsys_core.text_encoder.scripts import UNKNOWN_LIMIT, check_reading
from tests.text_encoder.tiny_encoder import write_tiny_bert


@pytest.fixture(scope="module")
def packaged():
    return load_encoder(EncoderConfig(dtype="float32", device="cpu"))


@pytest.mark.parametrize("text", [
    "Красная керамическая кружка", "Κόκκινη κεραμική κούπα", "كوب سيراميك أحمر", "빨간색 도자기 머그컵", "红色陶瓷马克杯",
    "赤い陶器のマグカップ", "लाल सिरेमिक मग", "แก้วเซรามิกสีแดง"])
def test_the_packaged_encoder_reads_no_other_script(packaged, text, caplog):
    with caplog.at_level(logging.WARNING):
        assert check_reading(packaged, ["red ceramic mug", text, text]) > UNKNOWN_LIMIT
    [warning] = caplog.messages
    assert "base_model: multilingual" in warning and text[:9] in warning


@pytest.mark.parametrize("text", [
    "Red ceramic mug 350ml", "Men's T-Shirt XXL, 12pk", "Rote Keramiktasse mit Henkel", "Chemise à manches longues",
    "Koszula damska"])
def test_texts_in_its_own_letters_are_read(packaged, text):
    assert packaged.unknown_share([text]) <= UNKNOWN_LIMIT


def test_a_spelled_word_counts_once_and_characters_of_chinese_are_no_letters(tmp_path):
    words = ["чашка", "tea", *"кружа红茶", *(f"##{letter}" for letter in "кружа")]
    encoder = load_encoder(EncoderConfig(model=str(write_tiny_bert(tmp_path, words=words)), dtype="float32", device="cpu"))
    assert encoder.unknown_share(["чашка tea"]) == 0 and encoder.unknown_share(["红茶 红茶"]) == 0
    assert encoder.unknown_share(["кружка чашка tea tea"]) == 0.25
    assert encoder.unknown_share(["ку ку"]) == 0  # too short to tell
