"""New arrivals as a shelf: items first sold in the 28 days before the report window, ranked among themselves.

Rivals: counting their events (the base breaks ties), and the base itself, which has counted them too and is what a shop
gets for nothing by filtering it to the shelf.
"""

from __future__ import annotations

import numpy as np

from benchmarks.fewshot.ask import difference
from benchmarks.fewshot.logs import Log, embedded, online_retail
from benchmarks.record import Bar
from recsys_core.interactions import SECONDS_PER_DAY, make_queries
from recsys_core.metrics import ranking_metrics

DAYS, QUESTIONS, CHUNK = 28, 2000, 64


def run() -> dict:
    """Per shop: counting and the filtered base on the shelf of new arrivals."""
    rows, pooled = [], {"gain": [], "users": []}
    for shop in (embedded(), online_retail()):
        found, users, items = measure(shop)
        gain = difference(found["base, filtered"], found["counting"], users)
        rows.append({"shop": shop.name, "items": items, "questions": len(users),
                     **{name: float(values.mean()) for name, values in found.items()},
                     "gain over counting": gain.mean, "low": gain.low, "high": gain.high})
        pooled["gain"] += (found["base, filtered"] - found["counting"]).tolist()
        pooled["users"] += [f"{shop.name} {user}" for user in users]
    return {"rows": rows, **pooled}


def measure(shop: Log) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """NDCG@10 on the shelf per question, the askers, and how many items the shelf has."""
    ranker, train = shop.ranker(), shop.train
    first = np.full(len(shop.catalogue), np.iinfo(np.int64).max)
    np.minimum.at(first, shop.events.item, shop.events.timestamp)
    shelf = (first >= shop.asked_from - DAYS * SECONDS_PER_DAY) & (first < shop.asked_from)
    columns, position = np.flatnonzero(shelf), np.cumsum(shelf) - 1
    counts = np.bincount(train.item, minlength=len(shelf))[columns].astype(np.float64)
    asked = make_queries(shop.events, shop.asked_from, shop.end, target=shelf[shop.events.item], max_queries=QUESTIONS,
                         rng=np.random.default_rng(2))
    now, found = int(np.median(asked.timestamp)), {"counting": [], "base, filtered": [], "popularity of the shelf": []}
    for low in range(0, len(asked), CHUNK):
        past = asked.histories[low:low + CHUNK]
        indptr = asked.target_indptr[low:low + len(past) + 1]
        targets = position[asked.targets[indptr[0]:indptr[-1]]]
        base = ranker.score(past, now)[:, columns].astype(np.float64)
        order = (base - base.min()) / (1.001 * np.ptp(base))
        for name, scores in (("counting", counts + order), ("base, filtered", base),
                             ("popularity of the shelf", np.tile(counts, (len(past), 1)))):
            found[name].append(ranking_metrics(scores, indptr - indptr[0], targets)["ndcg@10"])
    return {name: np.concatenate(parts) for name, parts in found.items()}, asked.user, len(columns)


def bars(part: dict) -> list[Bar]:
    """The shelf's gain over counting."""
    gain = difference(np.array(part["gain"]), np.zeros(1), np.array(part["users"]))
    note = (f"NDCG@10 on the shelf of new arrivals, {len(part['rows'])} shops pooled, {gain.n} questions, mean {gain.mean:+.4f}: "
            "the base that has counted them, filtered to the shelf, which costs nothing; no adapter takes part")
    return [Bar("fewshot.arrivals_over_count_low", gain.low, ">", 0, gain.low, gain.high, gain.clusters, note)]
