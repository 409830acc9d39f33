"""What another policy would have earned, from impressions that a logging policy chose at random with known probability.

A log only holds outcomes of what was shown. Weighting each by how much likelier the judged policy shows it undoes the
choice of the logging one. Both probabilities are those of the item *at its slot*, so a slot that draws more clicks than
others is compared with itself: no model of position bias is needed where propensities are logged.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.base_model import Ranker
from recsys_core.errors import DataError
from recsys_core.interactions import MAX_HISTORY, SECONDS_PER_DAY, Histories, Interactions
from recsys_core.metrics import Interval, paired_bootstrap


class OffPolicyConfig(BaseModel, frozen=True, extra="forbid"):
    """How far a single impression may be trusted."""

    max_weight: float = Field(100.0, gt=0, description="importance weights above it are clipped: less variance, some bias")
    repeats: int = Field(2000, ge=100, description="bootstrap draws of each interval")
    max_rows: int = Field(4000, ge=1, description="impressions that the ranker is judged on at most")


@dataclass(frozen=True)
class PolicyLog:
    """n logged impressions and what the judged policy would have done in each one's place.

    Args:
        reward: float64 [n], the outcome.
        propensity: float64 [n] in (0, 1], the logging policy's probability of the item shown, at its slot.
        probability: float64 [n] in [0, 1], the judged policy's of the same.
        cluster: [n], the user of each row, or the row's own number where users are unknown.
    """

    reward: np.ndarray
    propensity: np.ndarray
    probability: np.ndarray
    cluster: np.ndarray


@dataclass(frozen=True)
class PolicyValue:
    """Mean reward per impression of the judged policy, by each estimator, and whether the log can tell.

    Args:
        logged: of the logging policy itself.
        ips: the estimate by inverse propensity scoring, see `policy_value`.
        snips: the self-normalised estimate, see `policy_value`.
        effective_rows: (Σ w)² / Σ w², how many rows of the judged policy's own the log is worth.
        mean_weight: before clipping; near 1 if the propensities are right and cover what the policy shows.
        clipped: share of rows whose weight was clipped.
    """

    logged: Interval
    ips: Interval
    snips: Interval
    effective_rows: float
    mean_weight: float
    clipped: float


def policy_value(log: PolicyLog, config: OffPolicyConfig, rng: np.random.Generator) -> PolicyValue:
    """Estimate the judged policy's value from the log, with w = min(probability / propensity, max_weight).

    IPS = mean(w·r) (Horvitz & Thompson 1952); SNIPS = Σ w·r / Σ w (Swaminathan & Joachims 2015), whose interval is that
    of its linearisation, SNIPS + w·(r − SNIPS) / mean(w). Intervals draw clusters.

    Raises:
        DataError: no rows, arrays of different lengths, a value out of its range, or a policy that never shows what
            was logged.

    >>> log = PolicyLog(np.array([1., 0., 1., 0.]), np.full(4, .5), np.array([1., 0., 1., 0.]), np.arange(4))
    >>> found = policy_value(log, OffPolicyConfig(), np.random.default_rng(0))
    >>> found.ips.mean, found.snips.mean, found.effective_rows
    (1.0, 1.0, 2.0)
    """
    _check(log)
    raw = log.probability / log.propensity
    weight = np.minimum(raw, config.max_weight)
    total = weight.sum()
    if not total:
        raise DataError("off-policy value", "the judged policy shows none of the logged items",
                        "judge a policy over the items that were logged")

    def interval(values: np.ndarray) -> Interval:
        return paired_bootstrap(values, log.cluster, rng, config.repeats)

    snips = (weight @ log.reward) / total
    return PolicyValue(
        interval(log.reward), interval(weight * log.reward),
        interval(snips + weight * (log.reward - snips) / weight.mean()),
        float(total**2 / (weight @ weight)), float(raw.mean()), float((raw > config.max_weight).mean()))


def ranker_log(ranker: Ranker, events: Interactions, exposures: pl.DataFrame, config: OffPolicyConfig,
               rng: np.random.Generator) -> PolicyLog | None:
    """The log beside a policy that fills each slot by a draw from the ranker's softmax over what the log ever showed there.

    Args:
        events: every event; those strictly before an impression are its history.
        exposures: `schema.EXPOSURES` of the window; rows without a propensity, or of unknown items, are left out.

    Returns:
        None where no impression has a propensity.
    """
    catalogue = ranker.catalogue
    rows = exposures.filter(pl.col("propensity").is_not_null() & pl.col("item_id").is_in(catalogue.item_ids)).with_columns(
        pl.col("position").fill_null(0), pl.col("timestamp").dt.epoch("s").alias("second"))
    if rows.is_empty():
        return None
    shown = {slot: np.sort([catalogue.row_of[item] for item in items])
             for slot, items in rows.group_by("position").agg(pl.col("item_id").unique()).rows()}
    kept = np.sort(rng.choice(rows.height, min(config.max_rows, rows.height), replace=False))
    rows = rows[kept]
    probability = np.empty(rows.height)
    for at, (user, second, slot, item) in enumerate(rows.select("user_id", "second", "position", "item_id").rows()):
        logits = ranker.score(history_before(events, user, second), second)[0][shown[slot]].astype(np.float64)
        odds = np.exp(logits - logits.max())
        probability[at] = odds[np.searchsorted(shown[slot], catalogue.row_of[item])] / odds.sum()
    return PolicyLog(rows["label"].to_numpy().astype(np.float64), rows["propensity"].to_numpy(), probability,
                     rows["user_id"].rank("dense").to_numpy())


def history_before(events: Interactions, user: str, second: int, most: int = MAX_HISTORY) -> Histories:
    """One shopper's newest events strictly before a moment, as a single history; empty for a stranger.

    Args:
        user: id.
        second: seconds since the epoch.
        most: events kept.
    """
    row = bisect_left(events.user_ids, user)
    known = row < len(events.user_ids) and events.user_ids[row] == user
    low, high = np.searchsorted(events.user, np.array([row, row + 1], events.user.dtype)) if known else (0, 0)
    high = low + np.searchsorted(events.timestamp[low:high], second)
    own = slice(max(low, high - most), high)
    moments = events.timestamp[own]
    step = np.cumsum(np.r_[True, np.diff(moments) > 0][:len(moments)])
    ago = (step[-1:].sum() - step).astype(np.float32)
    return Histories(np.array([0, len(moments)]), events.item[own], ago,
                     ((second - moments) / SECONDS_PER_DAY).astype(np.float32), events.event_type[own])


def _check(log: PolicyLog) -> None:
    """Every array of the log's length, every value in its range."""
    bounds = {"reward": (-np.inf, np.inf), "propensity": (0, 1), "probability": (0, 1)}
    for name, (low, high) in bounds.items():
        values = getattr(log, name)
        if not len(values) or len(values) != len(log.cluster):
            raise DataError("off-policy log", f"{len(values)} values of {name} for {len(log.cluster)} rows",
                            "one value per impression, at least one impression")
        wrong = ~(np.isfinite(values) & (values >= low) & (values <= high))
        if name == "propensity":
            wrong |= values == 0
        if wrong.any():
            raise DataError("off-policy log", f"{name} of row {wrong.argmax()} is {values[wrong.argmax()]}",
                            "leave out impressions whose propensity was not logged" if name == "propensity"
                            else "check what produced it")
