"""A shop as one step of the chain sees it, on frozen text vectors: the product's own adaptation and judging run on it."""

from __future__ import annotations

import logging
from functools import cached_property

import numpy as np

from benchmarks.adaptations.shops import CleanShop
from recsys_core.adaptation import Study
from recsys_core.base_model import BaseConfig, Ranker, RankerConfig, fit_ranker
from recsys_core.interactions import BASE, Window, WindowConfig, make_queries, plan_windows

log = logging.getLogger(__name__)

LOCK = {"encoder": "frozen", "tokenizer": "frozen", "features": "frozen"}


class FrozenBase:
    """A base model in memory: rankers as of any cut-off, their blends chosen as the chain chooses them."""

    lock = LOCK

    def __init__(self, shop: CleanShop) -> None:
        self.shop, self.catalogue = shop, shop.catalogue
        self.summary = {"encoder_cutoff": 0}
        self._rankers: dict[int, Ranker] = {}
        self._blends: dict[tuple[int, int], np.ndarray] = {}

    @cached_property
    def plan(self) -> dict[str, Window]:
        time, config = self.shop.events.timestamp, self.shop.config
        return plan_windows(int(time.min()), int(time.max()), list(self.shop.segments), WindowConfig(),
                            time_zone=config.time_zone, families=[family.name for family in config.families])

    def blend(self, window: Window) -> np.ndarray:
        key = window.validation_start, window.support_start
        if key not in self._blends:
            events = self.shop.events.before(window.support_start)
            choices = make_queries(events, *key, max_queries=BaseConfig().validation_queries, rng=np.random.default_rng(0))
            self._blends[key] = fit_ranker(events.before(window.validation_start), self.catalogue, RankerConfig(),
                                           validation=choices).weights
        return self._blends[key]

    def ranker(self, cutoff: int) -> Ranker:
        if cutoff not in self._rankers:
            window = next((w for w in self.plan.values() if cutoff in w.bounds), self.plan[BASE])
            log.info("%s: the base as of %d", self.shop.config.name, cutoff)
            self._rankers[cutoff] = fit_ranker(self.shop.events.before(cutoff), self.catalogue, RankerConfig(),
                                               weights=self.blend(window))
        return self._rankers[cutoff]

    def serving(self) -> Ranker:
        return self.ranker(int(self.shop.events.timestamp.max()) + 1)


def open_study(shop: CleanShop) -> Study:
    """The shop's segments and families on a frozen base."""
    return Study(FrozenBase(shop), shop.interactions, shop.segment_events, shop.segments, shop.config.families, shop.users)


