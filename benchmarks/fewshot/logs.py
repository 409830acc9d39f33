"""Four shops as their logs: the embedded one, Online Retail, Amazon Industrial and ml-100k, each with its periods.

A question's history ends before it; counts end before the period that is asked; the blend is chosen on the period before
that. Shops without times have reverse positions: a user's last event is asked, the one before it chooses the blend.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.adaptations.shops import CleanShop, clean_shop, retail_shop
from benchmarks.rankings import amazon, movielens
from benchmarks.rankings.questions import PLACE
from recsys_core.base_model import Ranker, RankerConfig, fit_ranker
from recsys_core.interactions import SECONDS_PER_DAY, Catalogue, Interactions, Queries, make_queries

log = logging.getLogger(__name__)

CHOICES = 500  # questions that choose a blend, as every night


@dataclass(frozen=True)
class Log:
    """One shop's events and the seconds at which its periods begin.

    Args:
        chosen_from, asked_from, end: the blend is chosen on [chosen_from, asked_from), questions are of [asked_from, end).
        masked: seen items are not offered (a shop where nobody takes an item twice). refit: whether counts go up to
            asked_from, or, as the peers' do, only to chosen_from.
    """

    name: str
    catalogue: Catalogue
    events: Interactions
    chosen_from: int
    asked_from: int
    end: int
    masked: bool = False
    refit: bool = True

    def choices(self) -> Queries:
        return make_queries(self.events.before(self.asked_from), self.chosen_from, self.asked_from, max_queries=CHOICES,
                            rng=np.random.default_rng(0))

    @property
    def train(self) -> Interactions:
        """What everything that is asked about the report period has counted."""
        return self.events.before(self.asked_from if self.refit else self.chosen_from)

    def questions(self, most: int) -> Queries:
        return make_queries(self.events.before(self.end), self.asked_from, self.end, max_queries=most,
                            rng=np.random.default_rng(1))

    def blend(self) -> np.ndarray:
        """The weights [knots, P] that its own choices give."""
        return fit_ranker(self.events.before(self.chosen_from), self.catalogue, RankerConfig(),
                          validation=self.choices()).weights

    def ranker(self) -> Ranker:
        return fit_ranker(self.train, self.catalogue, RankerConfig(), weights=self.blend())


def by_days(name: str, shop: CleanShop, asked_days: int, back_days: int = 0) -> Log:
    """A log with times: the last `asked_days` are asked, the fortnight before chooses the blend.

    Args:
        back_days: the shop as it was so many days before its last one; for development.
    """
    events = shop.events
    end = int(events.timestamp.max()) + 1 - back_days * int(SECONDS_PER_DAY)
    asked = end - int(asked_days * SECONDS_PER_DAY)
    return Log(name, shop.catalogue, events.before(end), asked - int(14 * SECONDS_PER_DAY), asked, end)


def embedded(back_days: int = 0) -> Log:
    return by_days("embedded shop", clean_shop(None), 14, back_days)


def online_retail(back_days: int = 0) -> Log:
    return by_days("Online Retail", retail_shop(), 28, back_days)


def ml100k() -> Log:
    """All but the last two events of a user are counted, as the peers do; the last is asked."""
    catalogue = movielens.read_catalogue()
    events = movielens.read_events(PLACE / "sasrec" / "events.npz", catalogue)
    last = movielens.LAST
    return Log("ml-100k", catalogue, events, last - 1, last, last + 1, masked=True, refit=False)


def amazon_valid() -> Log:
    """Amazon Industrial without its test rows: a user's last event is asked, the one before it chooses the blend."""
    catalogue, events, _ = amazon.read_events()
    last = int(events.timestamp.max())
    return Log("Amazon Industrial", catalogue, events, last - 1, last, last + 1)


SHOPS: tuple[Callable[[], Log], ...] = (embedded, online_retail, amazon_valid, ml100k)
