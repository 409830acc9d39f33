"""What a shop promotes, as a part of the score: the embedded shop's displays and mailers on top of the freshest base.

The base's blend is chosen on a fortnight, promotions' weights are learned on the 28 days after it, and the fortnight after
those is asked, with counts up to its eve. The same questions are asked again with 0 and 1 known steps.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.adaptations.shops import CleanShop, clean_shop
from benchmarks.fewshot.ask import difference
from benchmarks.record import Bar
from recsys_core.base_model import Ranker, RankerConfig, fit_ranker
from recsys_core.ingestion import open_shop
from recsys_core.interactions import KNOTS, SECONDS_PER_DAY, Queries, cut_histories, known_steps, make_queries
from recsys_core.metrics import ranking_metrics
from recsys_core.promotions import (
    USUAL_DAYS,
    PromotionConfig,
    Promotions,
    PromotionWeights,
    fit_promotions,
    make_promotions,
    score_by_day,
)

log = logging.getLogger(__name__)

NAME = "fewshot.promotion_gain_low"
ASKED_DAYS, LEARNING_DAYS, CHOOSING_DAYS = 14, 28, 14
LEARNING_QUESTIONS, CHOICES = 1000, 500
KNOWN: tuple[int | None, ...] = (None, 0, 1)


def run(back_days: int = 0) -> dict:
    """NDCG@10 with and without promotions at every number of known steps.

    Args:
        back_days: the shop as it was so many days before its last one; for development.
    """
    shop = clean_shop(None)
    end = int(shop.events.timestamp.max()) + 1 - int(back_days * SECONDS_PER_DAY)
    asked_from = end - int(ASKED_DAYS * SECONDS_PER_DAY)
    learned_from = asked_from - int(LEARNING_DAYS * SECONDS_PER_DAY)
    promotions = open_promotions(shop, learned_from, end)
    blend = _blend(shop, learned_from)
    learning = _questions(shop, learned_from, asked_from, LEARNING_QUESTIONS)
    weights = fit_promotions(promotions, _base(shop, learned_from, blend), learning, contexts(shop, learning),
                             local_days(shop, learning), PromotionConfig())
    log.info("weights of %s:\n%s", promotions.names, weights.weights.round(2))
    ranker, asked = _base(shop, asked_from, blend), _questions(shop, asked_from, end, None)
    rows = [measure(shop, ranker, weights, asked, known) for known in KNOWN]
    table = [{"known steps": knot, **dict(zip(promotions.names, row, strict=True))}
             for knot, row in zip(KNOTS, weights.weights.astype(float).tolist(), strict=True)]
    return {"rows": rows, "weights": table, "learned on": len(learning)}


def open_promotions(shop: CleanShop, start: int, end: int) -> Promotions:
    """The table that the requests of [start, end) need, with the days of what is usual before them."""
    zone = ZoneInfo(shop.config.time_zone)
    first, last = (datetime.fromtimestamp(second, UTC).astimezone(zone).date() for second in (start, end - 1))
    return make_promotions(open_shop(None).promotions(first - timedelta(days=USUAL_DAYS), last), shop.catalogue)


def contexts(shop: CleanShop, queries: Queries) -> list[dict[str, str]]:
    """What each question's request says: the context of its first event."""
    events = shop.events
    steps = np.stack([events.user.astype(np.int64), events.timestamp])
    order = np.lexsort(steps[::-1])
    keys = (steps[0] << 40 | steps[1])[order]
    at = order[np.searchsorted(keys, queries.user.astype(np.int64) << 40 | queries.timestamp)]
    return [json.loads(text) if text else {} for text in shop.interactions["context"].gather(events.row[at])]


def local_days(shop: CleanShop, queries: Queries) -> list[date]:
    """Each question's day where the shop is."""
    zone = ZoneInfo(shop.config.time_zone)
    return [datetime.fromtimestamp(second, UTC).astimezone(zone).date() for second in queries.timestamp.tolist()]


def measure(shop: CleanShop, ranker: Ranker, weights: PromotionWeights, asked: Queries, known: int | None) -> dict:
    """One line of the table."""
    cut = asked if known is None else cut_histories(asked, known)
    base, ours = ask(ranker, weights, cut, contexts(shop, asked), local_days(shop, asked))
    gain = difference(ours, base, asked.user)
    row = {"known steps": "all" if known is None else known, "questions": gain.n, "shoppers": gain.clusters,
           "base": float(base.mean()), "with promotions": float(ours.mean()), "gain": gain.mean, "low": gain.low,
           "high": gain.high}
    log.info("%s", row)
    return row


def ask(ranker: Ranker, weights: PromotionWeights, asked: Queries, places: Sequence[dict[str, str]],
        days: Sequence[date]) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@10 [n] of the base, and of the base with promotions."""
    found, steps = np.zeros((2, len(asked))), known_steps(asked.histories)
    for row, score in score_by_day(ranker, asked, np.arange(len(asked)), days):
        targets = asked.targets[asked.target_indptr[row]:asked.target_indptr[row + 1]]
        added = sum(weights.offsets(places[row], days[row], int(steps[row])).values())
        both = np.tile(targets, 2)
        found[:, row] = ranking_metrics(np.stack([score, score + added]), np.array([0, 1, 2]) * len(targets), both)["ndcg@10"]
    return found[0], found[1]


def _blend(shop: CleanShop, cutoff: int) -> np.ndarray:
    chosen_from = cutoff - int(CHOOSING_DAYS * SECONDS_PER_DAY)
    return fit_ranker(shop.events.before(chosen_from), shop.catalogue, RankerConfig(),
                      validation=_questions(shop, chosen_from, cutoff, CHOICES)).weights


def _base(shop: CleanShop, cutoff: int, blend: np.ndarray) -> Ranker:
    return fit_ranker(shop.events.before(cutoff), shop.catalogue, RankerConfig(), weights=blend)


def _questions(shop: CleanShop, start: int, end: int, most: int | None) -> Queries:
    return make_queries(shop.events.before(end), start, end, max_queries=most, rng=np.random.default_rng(1))


def bars(part: dict | None) -> list[Bar]:
    """What promotions gain over the base for shoppers as they are."""
    if part is None:
        return [Bar(NAME, None, ">", 0, note="not run")]
    row = part["rows"][0]
    return [Bar(NAME, row["low"], ">", 0, row["low"], row["high"], row["shoppers"],
                f"NDCG@10, all {row['questions']} steps of the last {ASKED_DAYS} days; the value is the lower end of the gain "
                f"over the base, whose mean is {row['gain']:.4f}; weights learned on {part['learned on']} questions before; "
                "interval over shoppers")]
