"""The click model: planted probabilities come back, calibrated, and survive a save."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_core.base_model.click import ClickConfig, ClickModel, fit_click_model
from recsys_core.errors import DataError, ModelError
from recsys_core.schema import EXPOSURES, ITEM_FEATURES

N = 20_000


def exposures(seed: int = 0, n: int = N, shift: float = 0.0) -> pl.DataFrame:
    """Known logits: repeat buyers take, low slots do not, popular items a little more; `shift` moves
    the newest fifth."""
    rng = np.random.default_rng(seed)
    bought = rng.poisson(0.5, n)
    popular = rng.integers(0, 200, n)
    position = rng.integers(1, 6, n)
    logit = -3.0 + 1.5 * np.log1p(bought) + 0.3 * np.log1p(popular) - 0.8 * np.log(position)
    logit += shift * (np.arange(n) >= n * 0.8)
    start = datetime(2024, 6, 1, tzinfo=UTC)
    return pl.DataFrame({
        "event_id": [f"e{k:06d}" for k in range(n)], "user_id": "u", "item_id": [f"i{k}" for k in popular],
        "timestamp": [start + timedelta(minutes=5 * k) for k in range(n)],  # N of them: 69 days
        "label": rng.random(n) < 1 / (1 + np.exp(-logit)), "position": position, "propensity": 1.0,
        "user_item_purchases": bought, "user_purchases": bought * 3, "item_purchases": popular,
        "item_impressions": 100, "item_conversions": 10, "truth": 1 / (1 + np.exp(-logit)),
    }).cast({**EXPOSURES, "truth": pl.Float64})


def fit(rows: pl.DataFrame, **config) -> ClickModel:
    return fit_click_model(rows, ClickConfig(**config))


def test_planted_probabilities_are_recovered() -> None:
    test = exposures(seed=1)
    predicted = fit(exposures()).predict(test)
    assert predicted.dtype == np.float64 and predicted.shape == (N,)
    assert np.abs(predicted - test["truth"].to_numpy()).mean() < 0.02
    label = test["label"].to_numpy()
    base = label.mean()
    entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    assert -(label * np.log(predicted) + (1 - label) * np.log1p(-predicted)).mean() < 0.95 * entropy


def test_calibration_holds_in_every_tenth() -> None:
    test = exposures(seed=1)
    predicted, label = fit(exposures()).predict(test), test["label"].to_numpy()
    tenths = np.array_split(np.argsort(predicted, kind="stable"), 10)
    error = np.mean([abs(predicted[part].mean() - label[part].mean()) for part in tenths])
    assert error < 0.1 * label.mean()


def test_the_newest_rows_calibrate_the_level() -> None:
    moved = fit(exposures(shift=1.0)).predict(exposures(seed=1)).mean()
    assert moved > fit(exposures()).predict(exposures(seed=1)).mean() * 1.5


def test_a_weekly_rhythm_does_not_set_the_level() -> None:
    """Of seven weekdays two sell tenfold; data that end with them are calibrated on whole weeks all the same."""
    rng = np.random.default_rng(4)
    for days in (23, 27):  # end on a Sunday and on a Thursday
        rows = exposures(n=days * 288)
        loud = (rows["timestamp"].dt.weekday() >= 6).to_numpy()
        rows = rows.with_columns(pl.Series("label", rng.random(rows.height) < np.where(loud, 0.2, 0.02)).cast(pl.Int8))
        weeks = rows.filter(pl.int_range(pl.len()) >= rows.height - 14 * 288)
        assert abs(fit(rows).predict(weeks).mean() / weeks["label"].mean() - 1) < 0.15


def test_features_for_a_request() -> None:
    rows = exposures()
    model = fit(rows)
    features = model.click_features(["i7", "unheard", "i9"], ["i9", "i9", "x"], positions=[1, 2, 3])
    shown = rows.filter(item_id="i7")
    assert features.select("user_item_purchases", "user_purchases", "item_purchases", "item_impressions",
                           "item_conversions", "position").rows()[:2] == [
        (0, 3, 7, shown.height, shown["label"].sum(), 1), (0, 3, 0, 0, 0, 2)]
    assert features.row(2, named=True)["user_item_purchases"] == 2
    predicted = model.predict(features)
    assert np.isfinite(predicted).all() and predicted[2] > predicted[0]


def test_an_unknown_slot_counts_as_an_average_one() -> None:
    model = fit(exposures())
    first, unknown, last = (model.predict(model.click_features(["i7"], ["i7"], positions=p))[0]
                            for p in ([1], None, [5]))
    assert last < unknown < first


def test_item_counts_come_from_all_days_where_given() -> None:
    nothing = dict.fromkeys(ITEM_FEATURES, 0)
    features = pl.DataFrame(
        [{**nothing, "item_id": item, "day": datetime(2024, 6, day).date(), "purchases": day, "clicks": 50}
         for item in ("i7", "never shown") for day in (1, 2)], schema=ITEM_FEATURES)
    model = fit_click_model(exposures(), ClickConfig(), features)
    taken = dict(model.item_counts.select("item_id", "item_purchases").rows())
    assert (taken["i7"], taken["never shown"], taken["i8"], model.outcome) == (3, 3, 0, "purchase")
    clicks = fit_click_model(exposures(), ClickConfig(), features.with_columns(pl.lit(0).alias("purchases")))
    assert dict(clicks.item_counts.select("item_id", "item_purchases").rows())["i7"] == 100
    assert clicks.outcome == "click"


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    model, test = fit(exposures()), exposures(seed=1, n=500)
    model.save(tmp_path / "click")
    loaded = ClickModel.load(tmp_path / "click")
    assert (loaded.predict(test) == model.predict(test)).all()
    assert loaded.item_counts.equals(model.item_counts)
    names = sorted(path.name for path in (tmp_path / "click").iterdir())
    assert names == ["click.json", "item_counts.parquet"]


def test_the_same_rows_in_any_order_give_the_same_model() -> None:
    rows = exposures(n=2000)
    one, other = fit(rows), fit(rows.sample(fraction=1.0, shuffle=True, seed=1))
    assert (one.weights == other.weights).all() and one.slope == other.slope


@pytest.mark.parametrize("name", ["click.json", "item_counts.parquet"])
def test_broken_files_are_refused(tmp_path: Path, name: str) -> None:
    fit(exposures(n=1000)).save(tmp_path / "click")
    (tmp_path / "click" / name).write_bytes(b'{"format": 1}')
    with pytest.raises(ModelError, match="unreadable click model"):
        ClickModel.load(tmp_path / "click")
    (tmp_path / "click" / name).unlink()
    with pytest.raises(ModelError, match="unreadable click model"):
        ClickModel.load(tmp_path / "click")


def test_what_cannot_be_fitted_is_refused() -> None:
    rows = exposures(n=500)
    with pytest.raises(ModelError, match="no exposures"):
        fit(rows.clear())
    with pytest.raises(ModelError, match="0 positive labels"):
        fit(rows.with_columns(pl.lit(0, dtype=pl.Int8).alias("label")))
    with pytest.raises(ModelError, match="400 positive labels"):
        fit(rows.with_columns(pl.lit(1, dtype=pl.Int8).alias("label")))
    with pytest.raises(DataError, match="'item_purchases' is missing"):
        fit(rows).predict(rows.drop("item_purchases"))


def test_newest_rows_of_one_label_keep_probabilities_sane() -> None:
    rows = exposures(n=2000)
    quiet = rows.with_columns(pl.when(pl.int_range(2000) < 1600).then("label").otherwise(0).alias("label"))
    predicted = fit(quiet).predict(rows)
    assert np.isfinite(predicted).all() and (predicted > 0).all() and predicted.mean() < 0.05
