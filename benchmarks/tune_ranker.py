"""Search the ranker's settings with Optuna on three shops' validation questions at once: python -m benchmarks.tune_ranker.

The questions are split by shopper: one third fits the blend, one scores the trials, and the last, which the search never
sees, judges the best trial beside the defaults. A default deserves to change only if the best is better there on all
three shops beyond noise. optuna is not one of the project's packages: install it into a folder on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from benchmarks.rankings import amazon, journey
from benchmarks.rankings.questions import PLACE, frozen_catalogue
from recsys_core.base_model import Ranker, RankerConfig, fit_ranker
from recsys_core.cleaning import CleaningConfig, clean_events, clean_items
from recsys_core.errors import RecsysError
from recsys_core.ingestion import open_shop
from recsys_core.interactions import SECONDS_PER_DAY, Catalogue, Interactions, Queries, make_interactions, make_queries
from recsys_core.metrics import paired_bootstrap, ranking_metrics
from recsys_core.schema import PURCHASE

log = logging.getLogger(__name__)
SPACE = {  # setting → lowest, highest, on a log scale
    "backward": (0.1, 1.0, False), "window_decay": (0.3, 0.9, False), "neighbour_power": (2.0, 8.0, True),
    "follow_decay": (0.3, 0.9, False), "follow_epsilon": (0.002, 0.05, True), "profile_decay": (0.4, 0.95, False),
    "trend_half_life_days": (5.0, 60.0, True), "repeat_half_life_days": (10.0, 90.0, True),
    "companion_epsilon": (0.01, 0.2, True), "preference_pseudo_events": (1.0, 20.0, True), "head_share": (0.0, 1.0, False),
}
MOST_EVENTS, MOST_QUESTIONS = 300_000, 150  # whole shoppers of a larger shop; questions of each third
WINDOW_DAYS = 14


@dataclass(frozen=True)
class Split:
    """One shop: what is counted, and the three thirds of its questions."""

    catalogue: Catalogue
    train: Interactions
    fit: Queries
    search: Queries
    confirm: Queries

    def ranker(self, config: RankerConfig) -> Ranker:
        return fit_ranker(self.train, self.catalogue, config, validation=self.fit)


def split(catalogue: Catalogue, events: Interactions, train: np.ndarray, start: int, end: int,
          target: np.ndarray | None = None) -> Split:
    """Thirds of the questions in [start, end), by shopper. train: bool [E], the events to count."""
    rng = np.random.default_rng(0)
    third = rng.integers(0, 3, len(events.user_ids))
    questions = [make_queries(events, start, end, target=target, users=third == part, max_queries=most, rng=rng)
                 for part, most in enumerate((MOST_QUESTIONS, MOST_QUESTIONS, 4 * MOST_QUESTIONS))]
    return Split(catalogue, events.where(train), *questions)


def split_by_time(catalogue: Catalogue, events: Interactions) -> Split:
    """The fortnight before the last one; the last is the benchmark's. Of a large shop, some shoppers with all they did."""
    share = min(1.0, MOST_EVENTS / len(events))
    kept = np.random.default_rng(0).random(len(events.user_ids)) < share
    events = events.where(kept[events.user])
    end = int(events.timestamp.max() + 1 - WINDOW_DAYS * SECONDS_PER_DAY)
    start = int(end - WINDOW_DAYS * SECONDS_PER_DAY)
    return split(catalogue, events, events.timestamp < start, start, end)


def open_retail() -> Split:
    """Online Retail, cleaned as the chain cleans it."""
    folder = PLACE / "online_retail"
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(str(amazon.folder().parent / "online_retail"))
    (folder / "shop.yaml").write_text(f"preset: online_retail\ndata: {data}\n")
    shop = open_shop(folder)
    items = clean_items(shop.items())
    config = CleaningConfig(time_zone=shop.config.time_zone)
    days = [clean_events(drop.events, items["item_id"], config, date.fromisoformat(str(drop.day))).events
            for drop in shop.events()]
    catalogue = frozen_catalogue(items)
    return split_by_time(catalogue, make_interactions(pl.concat(days).filter(event_type=PURCHASE), catalogue))


def open_splits() -> dict[str, Split]:
    """Amazon's valid period, and a fortnight each of the embedded shop and Online Retail."""
    catalogue, events, train = amazon.read_events()
    shop = journey.open_journey()
    return {"amazon_industrial": split(catalogue, events, train, 0, 2**40, target=~train),
            "complete_journey": split_by_time(shop.catalogue, shop.events), "online_retail": open_retail()}


def judge(ranker: Ranker, questions: Queries) -> np.ndarray:
    """NDCG@10 of every question, full catalogue: float64 [n]."""
    now = int(np.median(questions.timestamp))
    scores = ranker.score(questions.histories, now)
    return ranking_metrics(scores, questions.target_indptr, questions.targets)["ndcg@10"]


def search(splits: dict[str, Split], trials: int, minutes: float) -> dict[str, float]:
    """The settings of the best trial by NDCG@10 relative to the defaults', averaged over shops."""
    try:
        import optuna
    except ImportError as error:
        raise RecsysError("tune_ranker", "optuna is not installed", "pip install --target FOLDER optuna==5.0.0, and "
                          "run again with PYTHONPATH=FOLDER") from error
    usual = {name: judge(each.ranker(RankerConfig()), each.search).mean() for name, each in splits.items()}

    def objective(trial) -> float:
        chosen = {name: trial.suggest_float(name, low, high, log=scale) for name, (low, high, scale) in SPACE.items()}
        config = RankerConfig(**chosen)
        return float(np.mean([judge(each.ranker(config), each.search).mean() / usual[name]
                              for name, each in splits.items()]))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial({name: getattr(RankerConfig(), name) for name in SPACE})
    study.optimize(objective, n_trials=trials, timeout=60 * minutes)
    log.info("%d trials, best %.4f of the defaults", len(study.trials), study.best_value)
    return study.best_params


def confirm(splits: dict[str, Split], best: dict[str, float]) -> list[dict[str, object]]:
    """Best beside default on questions the search has not seen."""
    rows = []
    for name, each in splits.items():
        usual, other = (judge(each.ranker(config), each.confirm) for config in (RankerConfig(), RankerConfig(**best)))
        gain = paired_bootstrap(other - usual, each.confirm.user, np.random.default_rng(0))
        rows.append({"shop": name, "default": usual.mean(), "best": other.mean(), "gain": gain.mean, "low": gain.low,
                     "high": gain.high, "questions": len(usual)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=10)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    asked = parser.parse_args()
    splits, began = open_splits(), time.perf_counter()
    best = search(splits, asked.trials, asked.minutes)
    print(f"{time.perf_counter() - began:.0f} s; setting: default → best")
    for name, value in best.items():
        print(f"  {name}: {getattr(RankerConfig(), name):g} → {value:.3g}")
    for row in confirm(splits, best):
        print("  {shop}: NDCG@10 {default:.4f} → {best:.4f}, {gain:+.4f} [{low:+.4f}, {high:+.4f}], "
              "{questions} questions".format(**row))


if __name__ == "__main__":
    main()
