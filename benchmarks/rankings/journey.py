"""The embedded shop: items new to the shopper against item-kNN, and purchases on exposure against counts alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from benchmarks.rankings.questions import PLACE, frozen_catalogue
from benchmarks.rankings.responses import ResponseSources
from benchmarks.record import Bar
from recsys_core.base_model import ClickConfig, Ranker, RankerConfig, fit_click_model, fit_ranker
from recsys_core.cleaning import clean_items
from recsys_core.evaluation import run_contest
from recsys_core.ingestion import open_shop
from recsys_core.interactions import (
    SECONDS_PER_DAY,
    Catalogue,
    Interactions,
    make_interactions,
    make_queries,
)
from recsys_core.metrics import (
    auc,
    calibration_error,
    fit_item_knn,
    fit_last_item,
    fit_personal_frequency,
    fit_popularity,
    log_loss,
    paired_bootstrap,
    user_auc,
    user_aucs,
)
from recsys_core.schema import PURCHASE

log = logging.getLogger(__name__)

FIRST_TIME = "default.first_time_recall_gain_low"
EXPOSURES = {"default.exposure_uauc_gain_low": (">", 0), "default.exposure_logloss_ratio": ("<=", 0.95),
             "default.exposure_ece_over_base_rate": ("<=", 0.10)}
WINDOW_DAYS = 14
MONTHS, MONTH_DAYS, MONTH_QUESTIONS = 4, 30, 600  # of the table that rolls forward
QUESTIONS = 2000
FIT_WEEKS, JUDGED_WEEKS = range(43, 49), range(49, 53)
VISIT_SHARE = 5  # one visit in so many, with everything that was on promotion there


@dataclass(frozen=True)
class Journey:
    """The shop's catalogue (frozen vectors), its purchases, and the files behind them."""

    catalogue: Catalogue
    events: Interactions
    sources: ResponseSources


def open_journey() -> Journey:
    """Read the embedded shop in place; purchases with a quantity above zero count."""
    shop = open_shop(None)
    catalogue = frozen_catalogue(clean_items(shop.items()))
    bought = pl.concat([day.events.filter((pl.col("event_type") == PURCHASE) & (pl.col("quantity") > 0))
                        for day in shop.events()])
    paths = {name: shop.folder / f"{name}.parquet" for name in ("transactions", "promotions", "products")}
    return Journey(catalogue, make_interactions(bought.unique("event_id", maintain_order=True), catalogue),
                   ResponseSources(**paths))


def fit_before(journey: Journey, cutoff: int) -> Ranker:
    """Blend chosen on the two weeks before the cut-off, counts refitted up to it: what a nightly run does."""
    events, choose_from = journey.events, int(cutoff - WINDOW_DAYS * SECONDS_PER_DAY)
    choices = make_queries(events.before(cutoff), choose_from, cutoff, max_queries=500, rng=np.random.default_rng(0))
    chosen = fit_ranker(events.before(choose_from), journey.catalogue, RankerConfig(), validation=choices)
    return fit_ranker(events.before(cutoff), journey.catalogue, chosen.config, weights=chosen.weights)


def rank_first_time(journey: Journey) -> dict:
    """The last two weeks' baskets: all targets, repeats, and items new to the shopper with seen items left out."""
    events, size = journey.events, len(journey.catalogue)
    end = int(events.timestamp.max()) + 1
    cutoff = int(end - WINDOW_DAYS * SECONDS_PER_DAY)
    ranker, train = fit_before(journey, cutoff), events.before(cutoff)
    questions = make_queries(events, cutoff, end, max_queries=QUESTIONS, rng=np.random.default_rng(1))
    rivals = {"item-kNN": fit_item_knn(train, size), "last item": fit_last_item(train, size),
              "popularity": fit_popularity(train, size), "personal frequency": fit_personal_frequency(train, size)}
    contest = run_contest(ranker, questions, rivals=rivals)
    rows = [{"system": "this ranker" if name == "base" else name,
             **{f"{part} {metric}": float(np.nanmean(found[part][metric]))
                for part, metric in (("all", "ndcg@10"), ("repeat", "ndcg@10"), ("first_time", "ndcg@10"),
                                     ("first_time", "recall@10"))}} for name, found in contest.items()]
    gains = {}
    for name in rivals:
        gap = contest["base"]["first_time"]["recall@10"] - contest[name]["first_time"]["recall@10"]
        known = np.isfinite(gap)
        gains[name] = paired_bootstrap(gap[known], questions.user[known], np.random.default_rng(0)).to_json()
    return {"rows": rows, "gains": gains, "baskets": len(questions)}


def roll_forward(journey: Journey) -> dict:
    """Counted to a cut-off, asked about the month after it, a month further each time: NDCG@10 of every target, repeats
    and first-time items with the seen ones left out."""
    events, size, rows = journey.events, len(journey.catalogue), []
    end = int(events.timestamp.max()) + 1
    for back in range(MONTHS, 0, -1):
        cutoff = int(end - back * MONTH_DAYS * SECONDS_PER_DAY)
        ranker, train = fit_before(journey, cutoff), events.before(cutoff)
        questions = make_queries(events, cutoff, int(cutoff + MONTH_DAYS * SECONDS_PER_DAY), max_queries=MONTH_QUESTIONS,
                                 rng=np.random.default_rng(1))
        contest = run_contest(ranker, questions, rivals={
            "personal frequency": fit_personal_frequency(train, size), "item-kNN": fit_item_knn(train, size),
            "popularity": fit_popularity(train, size)})
        first = datetime.fromtimestamp(cutoff, UTC).date().isoformat()
        for name, found in contest.items():
            row = {"counted before": first, "system": "this ranker" if name == "base" else name,
                   **{part: float(np.nanmean(found[part]["ndcg@10"])) for part in ("all", "repeat", "first_time")},
                   "ranker's gain": None, "gain low": None, "gain high": None, "baskets": len(questions)}
            if name != "base":
                gap = contest["base"]["all"]["ndcg@10"] - found["all"]["ndcg@10"]
                gain = paired_bootstrap(gap, questions.user, np.random.default_rng(0))
                row |= {"ranker's gain": gain.mean, "gain low": gain.low, "gain high": gain.high}
            rows.append(row)
    return {"rows": rows}


def judge_exposures(journey: Journey) -> dict:
    """P(bought | on promotion where the household shopped): the click model, against the item's own rate and the base rate."""
    rows = sample_exposures(journey)
    fit, judged = rows.filter(pl.col("week") < JUDGED_WEEKS[0]), rows.filter(pl.col("week") >= JUDGED_WEEKS[0])
    labels = judged["label"].to_numpy().astype(np.float64)
    users = judged["user_id"].rank("dense").to_numpy().astype(np.int64)
    rate, config = float(fit["label"].mean()), ClickConfig()
    strength = config.prior_strength
    predictions = {
        "click model": fit_click_model(fit, config).predict(judged),
        "item rate": judged.select((pl.col("item_conversions") + strength * rate) / (pl.col("item_impressions") + strength)
                                   ).to_series().to_numpy(),
        "base rate": np.full(len(labels), rate)}
    base_rate, base_loss = float(labels.mean()), log_loss(labels, predictions["base rate"])
    table = [{"model": name, "UAUC": user_auc(labels, p, users), "AUC": auc(labels, p), "log-loss": log_loss(labels, p),
              "log-loss / base rate's": log_loss(labels, p) / base_loss,
              "ECE / base rate": calibration_error(labels, p) / base_rate} for name, p in predictions.items()]
    gap = user_aucs(labels, predictions["click model"], users)[0] - user_aucs(labels, predictions["item rate"], users)[0]
    return {"rows": table, "uauc_gain": paired_bootstrap(gap, np.arange(len(gap)), np.random.default_rng(0)).to_json(),
            "impressions": len(labels), "positives": int(labels.sum()), "fit_impressions": fit.height}


def sample_exposures(journey: Journey) -> pl.DataFrame:
    """Every promotion met on a sample of visits, with counts of earlier weeks."""
    weeks = [*FIT_WEEKS, *JUDGED_WEEKS]
    visits = pl.scan_parquet(journey.sources.transactions).filter(pl.col("week").is_in(weeks)).group_by(
        "household_id", "store_id", "week").agg(pl.col("transaction_timestamp").min().alias("timestamp")).sort(
        "household_id", "store_id", "week").collect()
    kept = np.sort(np.random.default_rng(2).choice(visits.height, visits.height // VISIT_SHARE, replace=False))
    visits = visits[kept].with_columns(
        pl.col("timestamp").dt.epoch("s"), pl.col("household_id", "store_id").cast(pl.Int32),
        pl.col("week").cast(pl.Int16))
    shown = pl.scan_parquet(PLACE / "responses" / "impressions" / "*.parquet").filter(
        pl.col("week").is_in(weeks)).join(visits.lazy(), on=["household_id", "store_id", "week"]).collect().sort(
        "household_id", "store_id", "week", "product_id")
    rows = shown.with_row_index("event_id").with_columns(
        pl.from_epoch("timestamp", "s").dt.replace_time_zone("UTC"),
        pl.col("household_id").cast(pl.String).alias("user_id"),
        pl.col("product_id").cast(pl.String).alias("item_id"))
    return _with_counts(rows, journey.sources)


def _with_counts(rows: pl.DataFrame, sources: ResponseSources) -> pl.DataFrame:
    """The columns the click model reads; purchases of all kinds, of earlier weeks."""
    bought = pl.scan_parquet(sources.transactions).filter(pl.col("quantity") > 0).select(
        pl.col("household_id", "product_id").cast(pl.Int32), pl.col("week").cast(pl.Int16))
    for key, name in (("household_id", "user_purchases"), ("product_id", "item_purchases")):
        weekly = bought.group_by(key, "week").len().sort(key, "week").with_columns(
            pl.col("len").cum_sum().over(key).cast(pl.Int64).alias(name)).drop("len").collect()
        rows = rows.with_columns(pl.col("week") - 1).sort("week", "event_id").join_asof(
            weekly.sort("week"), on="week", by=key, strategy="backward", check_sortedness=False).with_columns(pl.col("week") + 1)
    return rows.sort("event_id").with_columns(
        pl.col("user_purchases", "item_purchases").fill_null(0),
        pl.col("household_product_purchases").cast(pl.Int64).alias("user_item_purchases"),
        pl.col("product_impressions").cast(pl.Int64).alias("item_impressions"),
        pl.col("product_responses").cast(pl.Int64).alias("item_conversions"))


def bars(first_time: dict, exposures: dict) -> list[Bar]:
    """The first-time bar and the three of exposures."""
    gain, uauc = first_time["gains"]["item-kNN"], exposures["uauc_gain"]
    ours = exposures["rows"][0]
    note = (f"{exposures['positives']} purchases on {exposures['impressions']} impressions of weeks {JUDGED_WEEKS[0]} "
            f"to {JUDGED_WEEKS[-1]}, models fitted on the six weeks before")
    values = {"default.exposure_uauc_gain_low": uauc["low"], "default.exposure_logloss_ratio":
              ours["log-loss / base rate's"], "default.exposure_ece_over_base_rate": ours["ECE / base rate"]}
    found = [Bar(FIRST_TIME, gain["low"], ">", 0, gain["low"], gain["high"], gain["clusters"],
                 f"recall@10 on items new to the shopper, seen items left out; the value is the lower end of the gain over "
                 f"item-kNN, whose mean is {gain['mean']:.4f}")]
    for name, (op, goal) in EXPOSURES.items():
        gains = (uauc["low"], uauc["high"], uauc["clusters"],
                 f"gain {uauc['mean']:.4f} over the item's own rate; {note}")
        found.append(Bar(name, values[name], op, goal, *(
            gains if name.endswith("gain_low") else (None, None, exposures["impressions"], note))))
    return found
