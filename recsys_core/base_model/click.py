"""Click (or purchase) probability of a shown item: a calibrated logistic regression on counts.

The counts are those of `schema.EXPOSURES`, known before the impression's day. At serving the item
counts come from one small table kept with the model, the user counts from the request's history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import DataError, ModelError, RecsysError
from recsys_core.schema import CLICK, PURCHASE

ITEM_COUNTS = {"item_id": pl.String, "item_purchases": pl.Int64, "item_impressions": pl.Int64,
               "item_conversions": pl.Int64}
COUNTS = ("user_item_purchases", "user_purchases", "item_purchases", "item_impressions", "item_conversions")
POSITION = "position"  # used where the training rows have it
_MODEL_FILE, _ITEMS_FILE, _FORMAT = "click.json", "item_counts.parquet", 1


class ClickConfig(BaseModel, frozen=True, extra="forbid"):
    """How the click model is fitted."""

    ridge: float = Field(1.0, gt=0, description="L2 penalty on standardised weights, in units of rows")
    prior_strength: float = Field(
        20.0, gt=0, description="impressions that the base rate counts for in an item's rate")
    calibration_share: float = Field(
        0.2, gt=0, lt=1, description="newest rows kept for calibration: the whole weeks that hold this share")
    min_positives: int = Field(5, gt=0, description="fewest positive labels to fit on")
    outcome: Literal["auto", "purchase", "click"] = Field(
        "auto", description="the event type behind labels and counts; auto: purchase where the shop has any")


@dataclass(frozen=True)
class ClickModel:
    """P(outcome | shown) = sigmoid(slope · (bias + weights · z) + intercept), z standardised features.

    Args:
        names: the f features.
        mean: float64 [f], of the fitting rows.
        scale: float64 [f], their standard deviation, > 0; 1 for a constant feature.
        weights: float64 [f], of standardised features.
        bias: of the logit before calibration.
        slope: of the Platt calibration.
        intercept: of the Platt calibration.
        base_rate: positive share of the fitting rows.
        prior_strength: impressions it counts for.
        outcome: event type that counts as success; a request's history should hold these events.
        item_counts: `ITEM_COUNTS` as of the newest day, unique item_id.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float
    slope: float
    intercept: float
    base_rate: float
    prior_strength: float
    outcome: str
    item_counts: pl.DataFrame

    def predict(self, features: pl.DataFrame) -> np.ndarray:
        """Probability of the outcome for each row.

        Args:
            features: the columns `COUNTS`, and `position` where the model was fitted with it; a missing or null position
                counts as the average one, so that an item is not judged by a slot it has not got yet.

        Returns:
            float64 [n] in (0, 1).

        Raises:
            DataError: a count column is missing.
        """
        for name in COUNTS:
            if name not in features.columns:
                raise DataError("click features", f"column {name!r} is missing",
                                "build them with click_features")
        z = (_matrix(features, self.names, self.base_rate, self.prior_strength) - self.mean) / self.scale
        logit = np.nan_to_num(z, nan=0.0) @ self.weights + self.bias
        return _sigmoid(self.slope * logit + self.intercept)

    def click_features(self, items: Sequence[str], history: Sequence[str],
                       positions: Sequence[int] | None = None) -> pl.DataFrame:
        """The rows `predict` reads, for one user's request; an unknown item has zero counts.

        Args:
            items: n item ids.
            history: the user's item ids with the model's outcome, any order.
            positions: n slots, from 1, where known.
        """
        taken, row_of = Counter(history), self._row_of
        rows = np.array([row_of.get(item, len(row_of)) for item in items], np.int64)
        return pl.DataFrame({
            "item_id": list(items), **{name: counts[rows] for name, counts in self._counts.items()},
            "user_item_purchases": np.array([taken[item] for item in items], np.int64),
            "user_purchases": np.full(len(items), len(history), np.int64),
            POSITION: pl.Series(positions or [None] * len(items), dtype=pl.Int32)}, schema_overrides={"item_id": pl.String})

    # What a request looks up is kept as Python and NumPy objects: a join is run by threads, which a forked worker lacks.
    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_counts["item_id"].to_list())}

    @cached_property
    def _counts(self) -> dict[str, np.ndarray]:
        """int64 [items + 1] by name; the last one is that of an unknown item."""
        return {name: np.append(self.item_counts[name].to_numpy(), 0) for name in list(ITEM_COUNTS)[1:]}

    def save(self, folder: Path) -> None:
        """Write the model (JSON) and its item counts (Parquet) to `folder`, atomically."""
        numbers = {name: getattr(self, name) for name in (
            "names", "bias", "slope", "intercept", "base_rate", "prior_strength", "outcome")}
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weights")}
        with staged_folder(folder) as staging:
            write_json(staging / _MODEL_FILE, {"format": _FORMAT, **numbers, **arrays})
            self.item_counts.write_parquet(staging / _ITEMS_FILE)

    @staticmethod
    def load(folder: Path) -> ClickModel:
        """Read a saved model.

        Raises:
            ModelError: a file is missing, broken or of another format.
        """
        try:
            saved = read_json(folder / _MODEL_FILE)
            if saved.pop("format") != _FORMAT:
                raise ValueError("another format")
            arrays = {name: np.array(saved.pop(name), np.float64) for name in ("mean", "scale", "weights")}
            items = pl.read_parquet(folder / _ITEMS_FILE, glob=False).select(
                pl.col(name).cast(dtype) for name, dtype in ITEM_COUNTS.items())
            return ClickModel(**{**saved, **arrays, "names": tuple(saved["names"]), "item_counts": items})
        except (RecsysError, OSError, KeyError, TypeError, ValueError, AttributeError,
                pl.exceptions.PolarsError) as error:
            raise ModelError(str(folder), f"unreadable click model ({error})",
                             "fit the base model again") from None


def fit_click_model(exposures: pl.DataFrame, config: ClickConfig,
                    item_features: pl.DataFrame | None = None) -> ClickModel:
    """Fit on the older exposures, calibrate on the newer ones (Platt 1999), keep today's item counts.

    Args:
        exposures: `schema.EXPOSURES`.
        config: penalty, prior and split.
        item_features: `schema.ITEM_FEATURES` of no day later than the model may know; they count what was taken of items
            that were never shown, or not since. Without them an item's purchases are those before its newest impression's
            day.

    Raises:
        ModelError: no exposures, or too few of either label before the calibration rows.
    """
    if exposures.is_empty():
        raise ModelError("click model", "no exposures", "leave it out: this shop logs no impressions")
    rows = exposures.sort("timestamp", "event_id")
    cut = _calibration_start(rows["timestamp"], config.calibration_share)
    older, newer = rows.filter(pl.col("timestamp") < cut), rows.filter(pl.col("timestamp") >= cut)
    label = older["label"].to_numpy().astype(np.float64)
    if min(label.sum(), len(label) - label.sum()) < config.min_positives:
        raise ModelError("click model", f"{int(label.sum())} positive labels in {len(label)} fitting rows",
                         "load more days with impressions, or leave the click model out")
    names = _feature_names(older)
    x = _matrix(older, names, label.mean(), config.prior_strength)
    mean = np.nan_to_num(np.nanmean(x, axis=0))
    scale = np.nan_to_num(np.nanstd(x, axis=0))
    scale[scale <= 1e-9 * np.abs(mean)] = 1.0  # a constant column's deviation is rounding, not always zero
    z = np.nan_to_num((x - mean) / scale)
    weights = _fit_logistic(z, label, np.full(len(names), config.ridge), np.zeros(len(names)))
    outcome = _outcome(item_features, config.outcome)
    model = ClickModel(
        names=tuple(names), mean=mean, scale=scale, weights=weights[1:], bias=float(weights[0]), slope=1.0,
        intercept=0.0, base_rate=float(label.mean()), prior_strength=config.prior_strength, outcome=outcome,
        item_counts=_item_counts(exposures, item_features, outcome))
    return _calibrated(model, newer)


def _calibration_start(timestamps: pl.Series, share: float) -> datetime:
    """When the newest whole weeks begin that hold `share` of the rows; half a week would set the level of its days.

    Args:
        timestamps: sorted. Where whole weeks would leave less than a third to fit on, the cut is at the share itself.
    """
    at = int(len(timestamps) * (1 - share))
    weeks = (timestamps[-1] - timestamps[at]) // timedelta(weeks=1) + 1
    start = timestamps[-1] - weeks * timedelta(weeks=1)
    return start if timestamps.search_sorted(start) * 3 >= len(timestamps) else timestamps[at]


def _calibrated(model: ClickModel, newer: pl.DataFrame) -> ClickModel:
    """Platt scaling, shrunk a little towards leaving the model as it is."""
    p = model.predict(newer)
    logit = np.log(p) - np.log1p(-p)
    label = newer["label"].to_numpy().astype(np.float64)
    intercept, slope = _fit_logistic(logit[:, None], label, np.ones(1), np.ones(1), bias_ridge=1.0)
    if slope <= 0:  # the newest rows rank the other way round: keep the order, correct only the level
        nothing = np.empty((len(p), 0))
        level = _fit_logistic(nothing, label, np.empty(0), np.empty(0), bias_ridge=1.0, offset=logit)
        slope, intercept = 1.0, level[0]
    return replace(model, slope=float(slope), intercept=float(intercept))


def _feature_names(exposures: pl.DataFrame) -> list[str]:
    placed = POSITION in exposures.columns and exposures[POSITION].null_count() < exposures.height
    return ["user_item", "repeat", "user_activity", "item_popularity", "item_shown", "item_rate", *[POSITION] * placed]


def _matrix(rows: pl.DataFrame, names: Sequence[str], base_rate: float, strength: float) -> np.ndarray:
    """float64 [n, f]; NaN where a position is unknown."""
    count = {name: rows[name].to_numpy().astype(np.float64) for name in COUNTS}
    rate = (count["item_conversions"] + strength * base_rate) / (count["item_impressions"] + strength)
    rate = np.clip(rate, 1e-9, 1 - 1e-9)
    position = rows[POSITION].cast(pl.Float64).to_numpy() if POSITION in rows.columns else np.full(rows.height, np.nan)
    features = {
        "user_item": np.log1p(count["user_item_purchases"]),
        "repeat": (count["user_item_purchases"] > 0).astype(np.float64),
        "user_activity": np.log1p(count["user_purchases"]),
        "item_popularity": np.log1p(count["item_purchases"]),
        "item_shown": np.log1p(count["item_impressions"]),
        "item_rate": np.log(rate) - np.log(1 - rate),
        POSITION: np.log1p(position),
    }
    return np.column_stack([features[name] for name in names])


def _item_counts(exposures: pl.DataFrame, item_features: pl.DataFrame | None, outcome: str) -> pl.DataFrame:
    """`ITEM_COUNTS` through the newest day that the tables hold."""
    if item_features is None:
        taken = exposures.group_by("item_id").agg(pl.col("item_purchases").max())
    else:
        column = "purchases" if outcome == PURCHASE else "clicks"
        taken = item_features.group_by("item_id").agg(pl.col(column).sum().alias("item_purchases"))
    shown = exposures.group_by("item_id").agg(
        pl.len().alias("item_impressions"), pl.col("label").cast(pl.Int64).sum().alias("item_conversions"))
    counts = taken.join(shown, on="item_id", how="full", coalesce=True).fill_null(0)
    return counts.select(pl.col(name).cast(dtype) for name, dtype in ITEM_COUNTS.items()).sort("item_id")


def _outcome(item_features: pl.DataFrame | None, outcome: str) -> str:
    if outcome != "auto":
        return outcome
    return PURCHASE if item_features is None or item_features["purchases"].sum() else CLICK


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    """Kept inside (0, 1), so that a log-loss is finite."""
    return 1.0 / (1.0 + np.exp(-np.clip(logit, -35.0, 35.0)))


def _fit_logistic(x: np.ndarray, label: np.ndarray, ridge: np.ndarray, prior: np.ndarray,
                  bias_ridge: float = 1e-6, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Newton's method (IRLS) with step halving on the penalised log-loss.

    Args:
        x: float64 [n, f].
        label: float64 [n] of 0 and 1.
        ridge: float64 [f], how strongly weights are pulled to `prior`, in rows.
        prior: float64 [f], where they are pulled to.
        bias_ridge: the same for the bias, towards 0.
        offset: added logits.

    Returns:
        float64 [1+f]: bias, weights.
    """
    x = np.hstack([np.ones((len(x), 1)), x])
    ridge, prior = np.r_[bias_ridge, ridge], np.r_[0.0, prior]

    def loss(w: np.ndarray) -> float:
        logit = x @ w + offset
        penalty = 0.5 * (ridge * (w - prior) ** 2).sum()
        return float((np.logaddexp(0.0, logit) - label * logit).sum() + penalty)

    weights, current = prior, loss(prior)
    for _ in range(100):
        p = _sigmoid(x @ weights + offset)
        gradient = x.T @ (p - label) + ridge * (weights - prior)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        while (proposed := loss(weights - step)) > current and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, decrease, current = weights - step, current - proposed, proposed
        if decrease < 1e-9 * (1.0 + abs(current)):
            break
    return weights
