import numpy as np

from recsys_core.retrieval.search import SearchConfig, clean_query, taste_part


def test_queries_are_normalised_not_rejected():
    assert clean_query("ｍｕｇ\u0000 red") == "mug red"
    assert clean_query("🎁 كوب") == "🎁 كوب"
    assert clean_query("x" * 512) == "x" * 512


def test_taste_is_standardised_clipped_and_flat_without_spread():
    scores = np.r_[np.zeros(999), 1e6].astype(np.float32)
    taste = taste_part(scores, SearchConfig(taste=0.5))
    assert taste[-1] == 2.5 and taste.dtype == np.float32 and abs(taste[0]) < 0.1
    assert not taste_part(np.full(4, 3.0, np.float32), SearchConfig()).any()
