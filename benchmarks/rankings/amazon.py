"""Amazon Industrial & Scientific beside every published system of the same test rows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.rankings.questions import frozen_catalogue, measure, order_only_histories, table_row
from benchmarks.record import ROOT, Bar
from recsys_core.base_model import RankerConfig, fit_ranker
from recsys_core.cleaning import clean_items
from recsys_core.ingestion import pseudo_timestamps
from recsys_core.interactions import Catalogue, Interactions, make_interactions, make_queries
from recsys_core.metrics import fit_item_knn, fit_last_item, fit_popularity
from recsys_core.schema import RAW_ITEMS

GOALS = {"hr@10": 0.170, "ndcg@10": 0.119, "refit_hr@10": 0.175, "refit_ndcg@10": 0.1225}
PUBLISHED = {  # HR@10, NDCG@10, full ranking over the 3,686 items; fitted on all of the published train events
    "GRU4Rec": (.0999, .0669), "SASRec": (.1088, .0806), "TIGER": (.1321, .0908), "LC-Rec": (.1332, .0952),
    "BIGRec": (.1370, .0997), "D3": (.1500, .1082), "S-DPO": (.1524, .1082), "MiniOneRec": (.1586, .1167),
}
HISTORY = 10  # events that the published histories hold at most


def folder() -> Path:
    """Where the data lies: RECSYS_DATA, or ../shared/data beside the checkout."""
    return Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "amazon_industrial"


def read_events() -> tuple[Catalogue, Interactions, np.ndarray]:
    """The catalogue with frozen vectors, all events in their order, and which of them lie in the train period."""
    place = folder()
    raw = pl.read_parquet(place / "items.parquet").select(
        pl.col("item_id").cast(pl.String), "title", "brand",
        *(pl.lit(None, RAW_ITEMS[name]).alias(name) for name in ("description", "category", "price")))
    catalogue = frozen_catalogue(clean_items(raw))
    table = pl.read_parquet(place / "train_events.parquet").with_columns(
        pl.col("item_id").cast(pl.String), pl.lit("view").alias("event_type"))
    table = table.with_columns(pseudo_timestamps(table["user_id"], table["position"]).alias("timestamp"))
    events = make_interactions(table, catalogue)
    return catalogue, events, (table["period"] == "train").to_numpy()[events.row]


def run() -> dict:
    """Strict: counts of the train period, blend chosen on the valid period. Refit: the same blend, counts of both."""
    catalogue, events, train = read_events()
    choices = make_queries(events, 0, 2**40, target=~train, max_history=HISTORY)

    began = time.perf_counter()
    strict = fit_ranker(events.where(train), catalogue, RankerConfig(), validation=choices)
    strict_seconds, began = time.perf_counter() - began, time.perf_counter()
    refit = fit_ranker(events, catalogue, strict.config, weights=strict.weights)
    refit_seconds = time.perf_counter() - began

    test = pl.read_parquet(folder() / "test.parquet")
    histories = order_only_histories([[catalogue.row_of[str(i)] for i in history] for history in test["history"]])
    targets = np.array([catalogue.row_of[str(i)] for i in test["target"]], np.int32)
    users = test["user_id"].to_numpy()
    rivals = {"popularity": fit_popularity, "item-kNN": fit_item_knn, "last item": fit_last_item}
    rows, found = [], {}
    for period, fitted, ranker in (("train", events.where(train), strict), ("train + valid", events, refit)):
        for name, fit in rivals.items():
            scores = fit(fitted, len(catalogue)).score(histories)
            rows.append(table_row(name, period, measure(scores, targets, users)))
        found[period] = measure(ranker.score(histories), targets, users)
        rows.append(table_row("this ranker", period, found[period]))
    rows += [{"system": f"published: {name}", "fitted on": "all of train", "hr@10": hr, "ndcg@10": ndcg}
             for name, (hr, ndcg) in PUBLISHED.items()]
    return {"rows": rows, "bars": {f"{prefix}{name}": interval.to_json() for prefix, period in (
                ("", "train"), ("refit_", "train + valid")) for name, interval in found[period].items()},
            "choices": len(choices), "strict_seconds": strict_seconds, "refit_seconds": refit_seconds}


def bars(part: dict | None) -> list[Bar]:
    """The four bars; without data each is there with its reason."""
    if part is None:
        reason = f"{folder()} is absent; set RECSYS_DATA to the folder that holds amazon_industrial"
        return [Bar(f"amazon_industrial.{name}", None, ">=", goal, note=reason) for name, goal in GOALS.items()]
    notes = {"": "counts of the train period, blend chosen on the valid period",
             "refit_": "the same blend, counts of train and valid"}
    return [Bar(f"amazon_industrial.{name}", part["bars"][name]["mean"], ">=", goal, part["bars"][name]["low"],
                part["bars"][name]["high"], part["bars"][name]["clusters"],
                f"4,533 test rows; interval over users; {notes['refit_' if name.startswith('refit') else '']}")
            for name, goal in GOALS.items()]
