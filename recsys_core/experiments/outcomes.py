"""From the logs to one row per user, and to one row per shown item.

A user counts once their window is closed, so no outcome changes after a look. The order is that in which windows close.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from recsys_core.experiments.config import ExperimentConfig


def user_outcomes(experiment: ExperimentConfig, exposures: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """One row per user, in the order in which windows close.

    Args:
        experiment: its window starts with a user's first exposure.
        exposures: of this experiment, see `logs.read_exposures`.
        outcomes: see `logs.outcomes_of`.

    Returns:
        user_id, variant, crossed (the log has more than one variant of this user), closes, value (of the outcomes inside
        the window, whatever they were about: a list that only draws clicks from elsewhere earns nothing) and before (of
        those before it).
    """
    window = timedelta(hours=experiment.window_hours)
    users = exposures.group_by("user_id").agg(
        pl.col("timestamp").min().alias("opens"), pl.col("variant").sort_by("timestamp").first(),
        (pl.col("variant").n_unique() > 1).alias("crossed")).with_columns((pl.col("opens") + window).alias("closes"))
    joined = outcomes.join(users.select("user_id", "opens", "closes"), on="user_id")
    inside = pl.col("timestamp").is_between("opens", "closes", closed="left")
    sums = joined.group_by("user_id").agg(
        pl.col("value").filter(inside).sum(), pl.col("value").filter(pl.col("timestamp") < pl.col("opens")).sum().alias("before"))
    found = users.join(sums, on="user_id", how="left").with_columns(pl.col("value", "before").fill_null(0.0))
    return found.select("user_id", "variant", "crossed", "closes", "value", "before").sort("closes", "user_id")


def shown_outcomes(experiment: ExperimentConfig, exposures: pl.DataFrame, outcomes: pl.DataFrame, until: datetime
                   ) -> pl.DataFrame:
    """One row per shown item whose window is closed, with what followed.

    An outcome belongs to the newest list that showed this user this item within the window before it.

    Returns:
        user_id, timestamp, variant, propensity (of the variant), item_id, item_propensity, team and value.
    """
    window = timedelta(hours=experiment.window_hours)
    shown = exposures.filter(pl.col("timestamp") + window <= until).explode("items").drop_nulls("items").select(
        "user_id", "timestamp", "variant", "propensity",
        pl.col("items").struct.field("item_id"), pl.col("items").struct.field("propensity").alias("item_propensity"),
        pl.col("items").struct.field("team")).sort("timestamp", maintain_order=True).with_row_index("row")
    credit = outcomes.sort("timestamp").join_asof(
        shown.select("row", "user_id", "item_id", "timestamp"), on="timestamp", by=["user_id", "item_id"], strategy="backward",
        tolerance=window, check_sortedness=False).drop_nulls("row").group_by("row").agg(pl.col("value").sum())
    return shown.join(credit, on="row", how="left").with_columns(pl.col("value").fill_null(0.0)).sort("row").drop("row")
