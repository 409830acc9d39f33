"""The base ranking model beside the published tables, RecBole and the trivial baselines: `make bench-ranking`.

Validation data choose, test rows are only counted. Finished parts are kept below var/bench: an interrupted run goes on.
Public data are looked for in RECSYS_DATA (default ../shared/data); `make bench-peers` makes the peers' environment.
"""

from __future__ import annotations

import argparse
import logging
import time

from benchmarks.rankings import amazon, exposures, journey, movielens, off_policy, plot, reruns
from benchmarks.rankings.questions import PLACE
from benchmarks.record import RESULTS, ROOT, Bar, Parts, show, versions, write_results
from recsys_core.base_model import RankerConfig

NAME = "ranking"
PEERS = {"recbole": "1.2.1", "implicit": "0.7.3", "obp": "0.4.1"}


def measure(minutes: float) -> tuple[list[Bar], dict[str, list[dict]], dict]:
    """All bars, tables and settings; the peer's training gets what the other parts leave of the minutes."""
    began = time.perf_counter()
    parts = Parts(PLACE / "parts", [ROOT / "recsys_core", ROOT / "benchmarks"])
    found: list[Bar] = []
    tables: dict[str, list[dict]] = {}

    place = amazon.folder()
    published = parts.get("amazon", amazon.run) if (place / "test.parquet").is_file() else None
    found += amazon.bars(published)
    tables["Amazon Industrial, test rows"] = published["rows"] if published else []

    shop = journey.open_journey()
    counted = parts.get("exposures", lambda: exposures.run(shop.sources))
    first_time = parts.get("first_time", lambda: journey.rank_first_time(shop))
    clicks = parts.get("clicks", lambda: journey.judge_exposures(shop))
    found += journey.bars(first_time, clicks) + exposures.bars(counted)
    tables["Embedded shop, baskets of the last two weeks"] = first_time["rows"]
    tables["Embedded shop, purchases on exposure"] = clicks["rows"]
    tables["Embedded shop, rolled forward by a month, NDCG@10"] = parts.get(
        "roll_forward", lambda: journey.roll_forward(shop))["rows"]
    tables["Exposure and response features"] = exposures.table(counted)
    found += reruns.bars(parts.get("reruns", reruns.run))

    logged = parts.get("off_policy", off_policy.run) if movielens.PYTHON.is_file() else {"rows": []}
    tables["ZOZOTOWN sample, one policy's value by the other's log"] = logged["rows"]

    left = minutes - (time.perf_counter() - began) / 60
    peer, reason = _trained_peer(left)
    beside = parts.get("movielens", lambda: movielens.run(peer)) if peer else None
    found += movielens.bars(beside, reason)
    tables["ml-100k, leave one out"] = beside["rows"] if beside else []
    settings = {"ranker": RankerConfig().model_dump(), "sasrec": beside and beside["sasrec"],
                "amazon_seconds": published and {name: published[f"{name}_seconds"] for name in ("strict", "refit")}}
    return found, tables, settings


def _trained_peer(minutes: float):
    """The folder of the trained SASRec, or None and the reason."""
    if not movielens.PYTHON.is_file():
        return None, "the peers' environment is absent: make bench-peers"
    place = movielens.train_peer(minutes)
    if not (place / "sasrec.json").is_file():
        return None, "SASRec has not stopped within the minutes given; run again, it goes on after its last epoch"
    return place, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=45, help="time for all of it; the peer's training is cut off")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    bars, tables, settings = measure(parser.parse_args().minutes)
    path = write_results(NAME, bars, seed=0, settings=settings, tables=tables,
                         peers=PEERS | versions(["duckdb", "pandas", "polars", "torch"]))
    plot.draw(tables, RESULTS / f"{NAME}.png")
    print(show(path))


if __name__ == "__main__":
    main()
