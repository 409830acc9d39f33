"""The segments whose adaptation is measured: who is withheld from the base, who gives shots, who is asked what.

- Withheld departments: the base, in training and in every history, has never seen the department; ranked within it.
- Withheld households: a fifth of the shoppers is unknown to the base until the shots begin.
- Scenes: first-time items only (seen items are not offered), since repeats decide the rest of a basket.
- Online Retail: customers in their first weeks; and a market withheld like the households, all countries but the home one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.adaptations.shops import CleanShop, clean_shop
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT
from recsys_core.adaptation.closed_form import Prior, prepare
from recsys_core.adaptation.shots import ShotConfig, is_support_user
from recsys_core.base_model.data import SECONDS_PER_DAY, Interactions, make_queries
from recsys_core.base_model.ranker import Ranker, RankerConfig, fit_ranker
from recsys_core.evaluation.windows import BASE, Window, WindowConfig, plan_windows

log = logging.getLogger(__name__)

LOCK = {"encoder": "frozen", "tokenizer": "frozen", "features": "frozen"}
WITHHELD_HOUSEHOLDS = 0.2
MIN_SHOTS = 64  # of support shoppers in the support window; smaller departments cannot show a curve
SEGMENTS = [{"name": "new-customers", "kind": "new_users", "first_days": 60},
            {"name": "beyond-the-uk", "kind": "custom", "where": "users.country <> 'United Kingdom'"}]


@dataclass(frozen=True)
class Trial:
    """One segment under test.

    Args:
        group: what it stands for. part: the slice of `run_contest` that is asked. ranker, prior: fitted before the
            support window. events: what histories, shots and questions are cut from. member, outside: bool [E], the
            segment's events and those a placebo may draw from. window: support, gate and report. givers: bool [U], the
            users who give shots; all others are asked. domain: bool [N], the
            items ranked, or None. hidden: bool [N], items that no history may hold, or None.
    """

    segment: str
    group: str
    part: str
    ranker: Ranker
    prior: Prior
    events: Interactions
    member: np.ndarray
    outside: np.ndarray
    window: Window
    givers: np.ndarray
    domain: np.ndarray | None = None
    hidden: np.ndarray | None = None


def embedded_trials(back_days: int = 0) -> Iterator[Trial]:
    """Departments and households withheld, and scenes, of the embedded shop.

    Args:
        back_days: the shop as it was so many days before its last one; for development.
    """
    shop = clean_shop(None)
    events = shop.events.before(int(shop.events.timestamp.max() + 1 - back_days * SECONDS_PER_DAY))
    givers = is_support_user(events.user_ids, ShotConfig().support_users)
    plan = _plan(shop, events)
    window = plan[BASE]
    inside = (events.timestamp >= window.support_start) & (events.timestamp < window.gate_start) & givers[events.user]
    domains = {name: mask for name, mask in shop.domains.items() if (mask[events.item] & inside).sum() >= MIN_SHOTS}
    closed = np.any(list(domains.values()), axis=0)
    open_events = events.where(~closed[events.item])
    ranker, prior = _fit(shop, open_events, window)
    for name, mask in domains.items():
        member = mask[events.item]
        outside = ~closed[events.item]
        yield Trial(name, "withheld departments", "in_domain", ranker, prior, events, member, outside, window, givers,
                    mask, closed)
    unknown = is_support_user(events.user_ids, WITHHELD_HOUSEHOLDS, 1)
    yield _withheld(shop, "households", "withheld households", events, unknown[events.user], window, givers)
    for spec in shop.segments:
        if spec.kind == "scene" and spec.name in plan and plan[spec.name].report_end <= events.timestamp.max() + SECONDS_PER_DAY:
            ranker, prior = _fit(shop, events, plan[spec.name])
            member = _own(shop, events, spec.name)
            yield Trial(spec.name, "scenes, first-time items", "first_time", ranker, prior, events, member, ~member,
                        plan[spec.name], givers)


def _withheld(shop: CleanShop, segment: str, group: str, events: Interactions, member: np.ndarray, window: Window,
              givers: np.ndarray) -> Trial:
    """Members whose every event before the support window is withheld, in training and in histories."""
    kept = ~member | (events.timestamp >= window.support_start)
    own, member = events.where(kept), member[kept]
    ranker, prior = _fit(shop, own.where(~member), window)
    return Trial(segment, group, "all", ranker, prior, own, member, ~member, window, givers)


def retail_trials(back_days: int = 0) -> Iterator[Trial]:
    """New customers and customers beyond the United Kingdom; none where the data are absent."""
    shop = _retail()
    if shop is None:
        return
    events = shop.events.before(int(shop.events.timestamp.max() + 1 - back_days * SECONDS_PER_DAY))
    givers = is_support_user(events.user_ids, ShotConfig().support_users)
    window = _plan(shop, events)[BASE]
    ranker, prior = _fit(shop, events, window)
    member = _own(shop, events, "new-customers")
    yield Trial("new-customers", "new customers", "all", ranker, prior, events, member, ~member, window, givers)
    yield _withheld(shop, "beyond-the-uk", "withheld market", events, _own(shop, events, "beyond-the-uk"), window, givers)


def _retail() -> CleanShop | None:
    """Online Retail, None where its data are absent."""
    data = Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "online_retail"
    if not data.is_dir():
        log.info("%s is absent: no Online Retail", data)
        return None
    folder = PLACE / "online_retail"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(yaml.safe_dump({"preset": "online_retail", "data": str(data),
                                                      "name": "online_retail", "segments": SEGMENTS}))
    return clean_shop(folder)


def own_segments() -> Iterator[Trial]:
    """Every segment of both shops as the chain judges it: nothing withheld, all targets on the full catalogue."""
    retail = _retail()
    for shop in (clean_shop(None), *([retail] if retail else [])):
        givers = is_support_user(shop.events.user_ids, ShotConfig().support_users)
        plan, fitted = _plan(shop, shop.events), {}
        for spec in shop.segments:
            if spec.name not in plan:
                continue
            window = plan[spec.name]
            if window.support_start not in fitted:
                fitted = {window.support_start: _fit(shop, shop.events, window)}
            member = _own(shop, shop.events, spec.name)
            yield Trial(spec.name, "the shops' own segments", "all", *fitted[window.support_start], shop.events, member,
                        ~member, window, givers)


def _own(shop: CleanShop, events: Interactions, segment: str) -> np.ndarray:
    """bool [E of events]: the segment's events."""
    rows = np.zeros(len(shop.interactions), bool)
    rows[shop.events.row] = shop.member(segment)
    return rows[events.row]


def _plan(shop: CleanShop, events: Interactions) -> dict[str, Window]:
    return plan_windows(int(events.timestamp.min()), int(events.timestamp.max()), list(shop.segments), WindowConfig(),
                        time_zone=shop.time_zone)


def _fit(shop: CleanShop, events: Interactions, window: Window) -> tuple[Ranker, Prior]:
    """The base as it was when the shots began: blend chosen on the days before, counts refitted."""
    train = events.before(window.support_start)
    choices = make_queries(train, window.validation_start, window.support_start, max_queries=500,
                           rng=np.random.default_rng(0))
    chosen = fit_ranker(train.before(window.validation_start), shop.catalogue, RankerConfig(), validation=choices)
    ranker = fit_ranker(train, shop.catalogue, chosen.config, weights=chosen.weights)
    return ranker, prepare(shop.catalogue, ranker.counts.popularity, LOCK)
