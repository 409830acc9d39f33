"""Few-shot adaptation where it is used, against what a shop has for free: `make bench-fewshot`.

Finished parts are kept below var/bench: an interrupted run goes on. PARTS=store,history measures only those; the bars of the
others are written as not measured. Public data are looked for in RECSYS_DATA (default ../shared/data); ml-100k and SASRec
come from the peers' environment (`make bench-peers`), where SASREC_MINUTES (default 30, 0: leave it out) train SASRec on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.fewshot import arrivals, history, judge, new_shop, pages, promoted, store
from benchmarks.rankings.movielens import train_peer
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Bar, Parts, show, versions, write_results
from recsys_core.adaptation import AdaptationConfig
from recsys_core.base_model import RankerConfig
from recsys_core.errors import RecsysError

NAME = "fewshot"


@dataclass(frozen=True)
class Part:
    """One part of the benchmark. goals: name after the dot → comparison and goal, for the bars it would fill."""

    run: Callable[[], dict]
    bars: Callable[[dict], list[Bar]]
    tables: Callable[[dict], dict[str, list[dict[str, Any]]]]
    goals: dict[str, tuple[str, float]]


PARTS = {
    "store": Part(store.run, store.bars, lambda found: {"Shoppers of a store or country": found["rows"]},
                  {"cold_store_gain_low": (">=", 0.02), "cold_store_gain_low@64": (">", 0), "cold_store_gain_low@256": (">", 0)}),
    "history": Part(history.run, history.bars,
                    lambda found: {"Known steps": [row for shop in found["shops"].values() for row in shop["rows"]]},
                    {"history_never_hurts": ("==", 1), "one_step_over_none_low": (">", 0),
                     "worst_margin_low": (">=", -0.002), "full_history_delta_low": (">=", -0.002)}),
    "pages": Part(pages.run, pages.bars, lambda found: {"Pages": found["rows"], "Page strengths": found["chosen"]},
                  {"domain_over_count_low@4": (">", 0), "domain_over_count_low@16": (">", 0),
                   "domain_over_count_low@64": (">=", -0.002), "domain_over_count_low@256": (">=", -0.002)}),
    "arrivals": Part(arrivals.run, arrivals.bars, lambda found: {"New arrivals": found["rows"]},
                     {"arrivals_over_count_low": (">", 0)}),
    "promoted": Part(promoted.run, promoted.bars, lambda found: {"Promotions": found["rows"],
                                                                      "Weights of promotions": found["weights"]},
                     {"promotion_gain_low": (">", 0)}),
    "new_shop": Part(new_shop.run, new_shop.bars, lambda found: {"A new shop": found["rows"]},
                     {"new_shop_gain_low@256": (">", 0)}),
    "nulls": Part(judge.null_segments, judge.null_bars, lambda found: {}, {"null_promoted_share": ("<=", 0.05)}),
    "planted": Part(judge.planted_segments, judge.planted_bars, lambda found: {}, {"planted_power": (">=", 0.8)}),
    "own": Part(judge.own_segments, judge.own_bars, lambda found: {"The gate": found["rows"]},
                {"promoted_worse_later": ("==", 0)}),
}


def main() -> None:
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    torch.set_num_threads(1)
    wanted = os.environ.get("PARTS", ",".join(PARTS)).split(",")
    if unknown := set(wanted) - set(PARTS):
        raise RecsysError("PARTS", f"unknown: {sorted(unknown)}", f"use some of {', '.join(PARTS)}")
    minutes = float(os.environ.get("SASREC_MINUTES", "30"))
    if "history" in wanted and minutes:
        train_peer(minutes)
    kept, bars, tables = Parts(PLACE / "parts", [ROOT / "recsys_core", ROOT / "benchmarks"]), [], {}
    for name, part in PARTS.items():
        if name in wanted:
            found = kept.get(f"fewshot_{name}", part.run)
            bars += part.bars(found)
            tables |= part.tables(found)
        else:
            bars += [Bar(f"fewshot.{bar}", None, op, goal, note="not measured on this commit")
                     for bar, (op, goal) in part.goals.items()]
    path = write_results(NAME, bars, seed=0, tables=tables, peers=versions(["numpy", "scipy", "torch"]) | {"recbole": "1.2.1"},
                         settings={"ranker": RankerConfig().model_dump(), "adaptation": AdaptationConfig().model_dump()})
    print(show(path))


if __name__ == "__main__":
    main()
