import time

import numpy as np
import pytest

from recsys_core.text_encoder import vectors
from recsys_core.text_encoder.vectors import VectorCache, cached_encode


class CountingEncoder:
    """Vectors that name the encoder and the text, and a log of what was really encoded."""

    def __init__(self, name="a", dtype="float32", dim=3):
        self.fingerprint = {"weights": name, "tokenizer": "t", "pooling": "mean", "max_length": 8, "dim": dim}
        self.dtype, self.name, self.encoded = dtype, name, []

    def cut(self, texts):
        return [texts]

    def encode(self, texts):
        self.encoded += texts
        return np.array([[ord(self.name), len(text), sum(map(ord, text))] for text in texts], np.float32)


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "vectors")


def test_only_new_texts_are_encoded(cache):
    encoder = CountingEncoder()
    first = cached_encode(encoder, ["b", "a", "b"], cache)
    assert encoder.encoded == ["b", "a"]
    second = cached_encode(encoder, ["c", "a"], cache)
    assert encoder.encoded == ["b", "a", "c"]
    np.testing.assert_array_equal(first[:, 2], [98, 97, 98])
    np.testing.assert_array_equal(second[:, 2], [99, 97])
    assert second.dtype == np.float32
    assert cached_encode(encoder, [], cache).shape == (0, 3)


@pytest.mark.parametrize("change", [{"name": "z"}, {"dtype": "bfloat16"}])
def test_another_encoder_never_gets_an_old_vector(cache, change):
    cached_encode(CountingEncoder(), ["a"], cache)
    other = CountingEncoder(**change)
    cached_encode(other, ["a"], cache)
    assert other.encoded == ["a"]


@pytest.mark.parametrize("key", ["weights", "tokenizer", "pooling", "max_length"])
def test_every_part_of_the_fingerprint_counts(cache, key):
    cached_encode(CountingEncoder(), ["a"], cache)
    other = CountingEncoder()
    other.fingerprint = {**other.fingerprint, key: "changed"}
    cached_encode(other, ["a"], cache)
    assert other.encoded == ["a"]


def test_damaged_file_is_noticed_and_its_texts_encoded_again(cache):
    encoder = CountingEncoder()
    expected = cached_encode(encoder, ["a", "b"], cache)
    path = next(cache.folder.glob("*/*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(cached_encode(encoder, ["a", "b"], cache), expected)
    assert encoder.encoded == ["a", "b", "a", "b"]


def test_oldest_encoders_are_dropped(cache, monkeypatch):
    monkeypatch.setattr(vectors, "KEPT_ENCODERS", 2)
    for name in "abc":
        cached_encode(CountingEncoder(name), ["x"], cache)
    assert len(list(cache.folder.iterdir())) == 2
    newest = CountingEncoder("c")
    cached_encode(newest, ["x"], cache)
    assert newest.encoded == []


def test_looking_up_twenty_thousand_texts_takes_under_a_second(cache):
    texts = [f"text {number}" for number in range(20_000)]
    encoder = CountingEncoder(dim=384)
    encoder.encode = lambda texts: np.ones((len(texts), 384), np.float32)
    cached_encode(encoder, texts, cache)
    start = time.process_time()
    assert cached_encode(encoder, texts, cache).shape == (20_000, 384)
    assert time.process_time() - start < 1
