"""A shop that has just opened: what weights learned on other shops are worth to it, at 64 to 4,096 events and with all.

A new shop is a few shoppers (one for every eight events) and their newest events before the period that is asked. The
weights it starts from are fitted on the choices of such small shops, cut from the *other* shops before their report periods:
on all of them, every shop weighing the same, and on each by itself. `python -m benchmarks.fewshot.new_shop` fits them on all
four shops and writes them into the product (recsys_core/base_model/prior.yaml).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.fewshot.ask import ask, difference
from benchmarks.fewshot.logs import SHOPS, Log
from benchmarks.record import ROOT, Bar
from recsys_core.base_model import (
    PART_NAMES,
    Ranker,
    RankerConfig,
    Situation,
    count_events,
    fit_head,
    fit_ranker,
    fit_weights,
    join_situations,
)
from recsys_core.interactions import KNOTS, Interactions, Queries, cut_histories, known_steps, make_queries, take_queries
from recsys_core.metrics import fit_item_knn

log = logging.getLogger(__name__)

EVENTS_PER_SHOPPER, QUESTIONS, PER_SHOPPER = 8, 300, 3
DRAWS = {64: 10, 256: 10, 1024: 5, 4096: 2}
# What the shipped weights are learned from: small shops by size, their choices, and how far they are held to the start.
LEARNED_FROM, CHOICES_PER_SHOP, RIDGE, SMOOTH = {64: 6, 256: 6, 1024: 2}, 500, 3.0, 100.0
KINDS = ("all", "groceries", "gifts", "industrial", "films")  # of prior.yaml, in the order of SHOPS
SMALL = RankerConfig(sure_candidates=768, tail_candidates=256)
# What the product started from before: set by hand, the same at every length of history.
BY_HAND = {"popularity": 0.5, "transitions": 0.5, "text_transitions": 0.5, "text_profile": 3.0, "text_last": 1.0}


def hand_set() -> np.ndarray:
    return np.tile([BY_HAND.get(name, 0.0) for name in PART_NAMES], (len(KNOTS), 1))


def new_shop(shop: Log, events: int, seed: int) -> tuple[Interactions, Queries]:
    """The newest `events` events of a few shoppers before the report period, and those shoppers' steps in it."""
    rng, known = np.random.default_rng([seed, events]), shop.train
    active = np.intersect1d(np.unique(known.user), np.unique(shop.events.user[shop.events.timestamp >= shop.asked_from]))
    users = np.zeros(len(known.user_ids), bool)
    users[rng.permutation(active)[:max(2, events // EVENTS_PER_SHOPPER)]] = True
    own = known.where(users[known.user])
    newest = np.sort(np.argsort(own.timestamp, kind="stable")[-events:])
    kept = np.zeros(len(own), bool)
    kept[newest] = True
    train, later = own.where(kept), shop.events.where(users[shop.events.user] & (shop.events.timestamp >= shop.asked_from))
    rows = np.concatenate([train.row, later.row])
    asked = make_queries(shop.events.where(np.isin(shop.events.row, rows)), shop.asked_from, shop.end)
    order = rng.permutation(len(asked))
    first = np.array([np.count_nonzero(asked.user[order[:at]] == asked.user[row]) < PER_SHOPPER
                      for at, row in enumerate(order)], bool)
    return train, take_queries(asked, np.sort(order[first][:QUESTIONS]))


def earlier(shop: Log) -> Log:
    """The shop before its report period: the period that chooses the blend is asked."""
    return replace(shop, asked_from=shop.chosen_from, end=shop.asked_from, refit=True)


def small_choices(shop: Log) -> list[Situation]:
    """Choices of new shops cut from this one's past, with histories as they are and cut to 0, 1 and 4 steps."""
    found: list[Situation] = []
    for events, draws in LEARNED_FROM.items():
        for seed in range(draws):
            train, asked = new_shop(earlier(shop), events, 500 + seed)
            if not len(asked):
                continue
            ranker, rng = Ranker(SMALL, shop.catalogue, count_events(train, shop.catalogue, SMALL), hand_set(), {}), \
                np.random.default_rng(seed)
            asked = take_queries(asked, np.sort(rng.permutation(len(asked))[:40]))
            found += ranker.situations(asked, rng)
            for steps in (0, 1, 4):
                longer = np.flatnonzero(known_steps(asked.histories) > steps)[:20]
                found += ranker.situations(cut_histories(take_queries(asked, longer), steps), rng)
    order = np.random.default_rng(0).permutation(len(found))[:CHOICES_PER_SHOP]
    return [found[at] for at in order]


def learn_prior(choices: Sequence[Sequence[Situation]]) -> np.ndarray:
    """float64 [1 + shops, knots, P]: weights that explain the choices of all small shops, and of each kind by itself."""
    together = _learn([situation for shop in choices for situation in shop], hand_set())
    return np.array([together, *(_learn(shop, together) for shop in choices)])


def _learn(situations: Sequence[Situation], start: np.ndarray) -> np.ndarray:
    found = join_situations(situations)
    weights = fit_weights(found, start, RIDGE, SMOOTH)
    return fit_head(found, weights, seen=found.features[PART_NAMES.index("repeat")] > 0, top=SMALL.head,
                    ridge=SMALL.head_ridge, smooth=SMOOTH, share=SMALL.head_share)


def run() -> dict:
    """Per shop and size: NDCG@10 from both priors and of item-kNN, and every question's values at 256 events."""
    logs = [make() for make in SHOPS]
    choices = {shop.name: small_choices(shop) for shop in logs}
    rows, at_256 = [], []
    for shop in logs:
        learned = learn_prior([found for name, found in choices.items() if name != shop.name])
        for events, draws in DRAWS.items():
            found, users = _draws(shop, events, draws, learned)
            rows.append(_row(shop.name, events, found, users))
            if events == 256:
                at_256.append({"users": [f"{shop.name} {user}" for user in users],
                               "gain": (found["learned"] - found["by hand"]).tolist()})
            log.info("%s", rows[-1])
        rows.append(_everything(shop, learned))
        log.info("%s", rows[-1])
    return {"rows": rows, "at_256": at_256}


def _draws(shop: Log, events: int, draws: int, learned: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    users = []
    for seed in range(draws):
        train, asked = new_shop(shop, events, seed)
        rankers = {name: _fit_all(train, shop, prior)
                   for name, prior in (("learned", learned), ("by hand", hand_set()[None]))}
        systems = {**{name: ranker.score for name, ranker in rankers.items()},
                   "item-kNN": fit_item_knn(train, len(shop.catalogue)).score}
        for name, values in ask(systems, asked, masked=shop.masked).items():
            found.setdefault(name, []).append(values)
        users.append(asked.user)
    return {name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(users)


def _fit_all(train: Interactions, shop: Log, prior: np.ndarray) -> Ranker:
    """As a night fits: the blend on the newest tenth of the events, then the counts of all of them."""
    cutoff = int(np.quantile(train.timestamp, 0.9, method="lower"))
    newest = make_queries(train, cutoff, int(train.timestamp.max()) + 1)
    blend = fit_ranker(train.before(cutoff), shop.catalogue, RankerConfig(), validation=newest, prior=prior).weights
    return fit_ranker(train, shop.catalogue, RankerConfig(), weights=blend)


def _everything(shop: Log, learned: np.ndarray) -> dict:
    asked = shop.questions(QUESTIONS * 2)
    before, choices = shop.events.before(shop.chosen_from), shop.choices()
    systems = {"item-kNN": fit_item_knn(shop.train, len(shop.catalogue)).score}
    for name, prior in (("learned", learned), ("by hand", hand_set()[None])):
        blend = fit_ranker(before, shop.catalogue, RankerConfig(), validation=choices, prior=prior).weights
        systems[name] = fit_ranker(shop.train, shop.catalogue, RankerConfig(), weights=blend).score
    return _row(shop.name, len(shop.train), ask(systems, asked, masked=shop.masked), asked.user)


def _row(shop: str, events: int, found: dict[str, np.ndarray], users: np.ndarray) -> dict:
    gain = difference(found["learned"], found["by hand"], users)
    return {"shop": shop, "events": events, "questions": len(users),
            **{name: float(found[name].mean()) for name in ("learned", "by hand", "item-kNN")},
            "gain": gain.mean, "low": gain.low, "high": gain.high}


def bars(part: dict) -> list[Bar]:
    """The gain at 256 events, all shops pooled."""
    users = np.concatenate([np.array(shop["users"], object) for shop in part["at_256"]]).astype(str)
    gain = difference(np.concatenate([shop["gain"] for shop in part["at_256"]]), 0.0, users)
    return [Bar("fewshot.new_shop_gain_low@256", gain.low, ">", 0, gain.low, gain.high, gain.clusters,
                f"NDCG@10 of weights learned on the other shops over those set by hand, {gain.n} questions of "
                f"{len(part['at_256'])} shops, mean {gain.mean:+.4f}; the value is the lower end")]


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    learned = learn_prior([small_choices(make()) for make in SHOPS])
    lines = [f"# Where the session model's weights start: part -> its weight at {', '.join(map(str, KNOTS))} known steps.",
             "# Fitted on the choices of small shops (64 to 1,024 events) cut from 84.51 Complete Journey, UCI Online Retail,",
             "# Amazon Industrial & Scientific and ml-100k, before their report periods, by benchmarks/fewshot/new_shop.py."]
    for kind, weights in zip(KINDS, learned, strict=True):
        lines += [f"{kind}:", *(f"  {name}: [{', '.join(f'{weight:.3f}' for weight in weights[:, at])}]"
                                for at, name in enumerate(PART_NAMES))]
    (ROOT / "recsys_core" / "base_model" / "prior.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
