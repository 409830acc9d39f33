import numpy as np
import pytest

from recsys_core.errors import RequestError
from recsys_core.retrieval.search import UNLIKE, SearchConfig, clean_query, nonsense_floor, query_parts, taste_part
from tests.retrieval.test_lexical import index_of


def test_queries_are_normalised_not_rejected():
    assert clean_query("ｍｕｇ\u0000 red") == "mug red"
    assert clean_query("🎁 كوب") == "🎁 كوب"
    assert clean_query("x" * 512) == "x" * 512


@pytest.mark.parametrize(("given", "wanted"), [
    ("m\u200bug\ufeff", "mug"), ("\u202egum\u202c", "gum"), ("a\ud800b", "a b"), ("<b>red</b> mug &amp; pot", "red mug & pot"),
    ("'; DROP TABLE items; --", "'; DROP TABLE items; --"), ("3 < 4", "3 < 4"),
    ("👩\u200d🍳", "👩\u200d🍳"), ("红茶　５００ｍｌ", "红茶 500ml")])
def test_queries_of_any_script_have_one_spelling(given, wanted):
    assert clean_query(given) == wanted


@pytest.mark.parametrize("query", ["", " \t\u200b", "\ud800", "<b></b>", "x" * 10_000_000, None, 7, b"mug"])
def test_what_is_no_query_is_refused_with_a_fix(query):
    with pytest.raises(RequestError, match="Fix: send"):
        clean_query(query)


def test_taste_is_standardised_clipped_and_flat_without_spread():
    scores = np.r_[np.zeros(999), 1e6].astype(np.float32)
    taste = taste_part(scores, SearchConfig(taste=0.5))
    assert taste[-1] == 2.5 and taste.dtype == np.float32 and abs(taste[0]) < 0.1
    assert not taste_part(np.full(4, 3.0, np.float32), SearchConfig()).any()


class Letters:
    """A stand-in encoder: which letters a text has."""

    def encode(self, texts: list[str]) -> np.ndarray:
        found = np.array([[text.count(chr(code)) for code in range(97, 123)] for text in texts], np.float32) + 1e-3
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_query_like_nothing_is_told_from_rare_and_mistyped_ones():
    titles = ["leather sandals", "summer sandals", "garden sandals", "steel teapot", "glass teapot", "clay teapot"]
    lexical, encoder = index_of(titles), Letters()
    vectors = encoder.encode(titles)
    floor = nonsense_floor(vectors, encoder, lexical, np.random.default_rng(0))
    config = SearchConfig(least_meaning=floor)

    def note(query: str) -> str | None:
        return query_parts(query, vectors, encoder, lexical, config).note

    assert 0.5 < floor < 1
    assert note("zzqqkkwwzz").startswith(UNLIKE) and note("steel") is None
    assert note("xandals") == "searched 'xandal' as 'sandal'" and note("steel zzqqkkwwzz") is None
    assert note("letaeher sdnaals").startswith("no word")  # no word is known, but its letters are near
    few = sum((note("".join(np.random.default_rng(seed).choice(list("abcdefghij"), 8))) or "").startswith(UNLIKE)
              for seed in range(40))
    assert few >= 38


def test_a_query_finds_the_document_of_its_size_among_items_that_share_a_text():
    lexical = index_of(["milk", "milk", "tea"], size=["1 GAL", "16 OZ", None])
    found = query_parts("milk 16oz", np.eye(3, dtype=np.float32), None, lexical, SearchConfig())
    assert found.scores.argmax() == 1 and found.parts.keys() == {"words"} and (found.scores == found.parts["words"]).all()
