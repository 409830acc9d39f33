import numpy as np
import pytest

from recsys_core.text_encoder.ngrams import NgramReader
from tests.text_encoder.test_vectors import CountingEncoder


@pytest.fixture
def reader():
    return NgramReader(CountingEncoder(dim=384))


def test_texts_are_near_by_the_pieces_they_share(reader):
    train, house, bowl, twice = reader.encode(["木制火车", "木制娃娃屋", "搪瓷碗", "木制火车"])
    assert train @ house > 0.2 > abs(train @ bowl)
    np.testing.assert_array_equal(train, twice)
    np.testing.assert_array_equal(reader.encode(["木制火车"])[0], train)  # neighbours change nothing


def test_vectors_are_unit_float32_and_a_text_without_words_is_zero(reader):
    vectors = reader.encode(["木制 train", "", "!?"])
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0], atol=1e-6)
    assert reader.encode([]).shape == (0, 384)


def test_its_fingerprint_is_not_the_encoders_but_keeps_the_tokenizer(reader):
    own = CountingEncoder(dim=384).fingerprint
    assert reader.fingerprint["weights"] != own["weights"]
    assert {name: reader.fingerprint[name] for name in ("tokenizer", "dim")} == {"tokenizer": "t", "dim": 384}
