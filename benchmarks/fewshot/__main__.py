"""Few-shot adaptation where it is used, against what a shop has for free: `make bench-fewshot`.

Finished parts are kept below var/bench: an interrupted run goes on. Public data are looked for in RECSYS_DATA (default
../shared/data); ml-100k and SASRec come from the peers' environment (`make bench-peers`).
"""

from __future__ import annotations

import logging

from benchmarks.fewshot import arrivals, history, judge, new_shop, pages, promoted, store
from benchmarks.rankings.movielens import train_peer
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Parts, show, versions, write_results
from recsys_core.adaptation.segment import AdaptationConfig
from recsys_core.base_model.ranker import RankerConfig

NAME = "fewshot"
PEER_MINUTES = 30


def main() -> None:
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    torch.set_num_threads(1)
    parts = Parts(PLACE / "parts", [ROOT / "recsys_core", ROOT / "benchmarks"])
    train_peer(PEER_MINUTES)
    stores = parts.get("fewshot_store", store.run)
    lengths = parts.get("fewshot_history", history.run)
    withheld = parts.get("fewshot_pages", pages.run)
    fresh = parts.get("fewshot_arrivals", arrivals.run)
    offers = parts.get("fewshot_promoted", promoted.run)
    opened = parts.get("fewshot_new_shop", new_shop.run)
    nulls = parts.get("fewshot_nulls", judge.null_segments)
    planted = parts.get("fewshot_planted", judge.planted_segments)
    own = parts.get("fewshot_own", judge.own_segments)
    bars = [*store.bars(stores), *history.bars(lengths), *pages.bars(withheld), *arrivals.bars(fresh), *promoted.bars(offers),
            *new_shop.bars(opened), *judge.bars(nulls, planted, own)]
    tables = {"Shoppers of a store or country": stores["rows"],
              "Known steps": [row for shop in lengths["shops"].values() for row in shop["rows"]],
              **pages.tables(withheld), "New arrivals": fresh["rows"], "Promotions": offers["rows"],
              "A new shop": opened["rows"], "The gate": own["rows"]}
    path = write_results(NAME, bars, seed=0, tables=tables, peers=versions(["numpy", "scipy", "torch"]) | {"recbole": "1.2.1"},
                         settings={"ranker": RankerConfig().model_dump(), "adaptation": AdaptationConfig().model_dump()})
    print(show(path))


if __name__ == "__main__":
    main()
