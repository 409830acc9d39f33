import shutil

import polars as pl

from benchmarks.servings.explain import measure
from tests.features.written import write_feature_table
from tests.serving.tiny import tiny_events, use_word_encoder


def test_explanations_of_a_planted_shop_add_up_and_hold(bundle_folder, tmp_path, monkeypatch):
    use_word_encoder(monkeypatch)
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    write_feature_table(tmp_path / "features", "interactions", tiny_events().with_columns(context=pl.lit(None, pl.String)))
    bars, tables = measure(tmp_path / "bundle", requests=30, searches=10)
    assert [bar.bar for bar in bars] == ["explain.max_sum_error", "explain.residual_share", "explain.deletion_agreement"]
    assert bars[0].holds and bars[1].holds and bars[2].value > 0.8 and bars[2].n > 20
    assert {row["left out"] for row in tables["Without the largest source"]} >= {"item", "itself", "word"}
