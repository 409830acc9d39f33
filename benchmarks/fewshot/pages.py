"""Pages the base has never counted: withheld departments of the embedded shop and withheld text clusters of Amazon Industrial.

A base is fitted without a page's items, which are also cut out of every history. The page's shots are drawn from shoppers
who are never asked, and its items are ranked among themselves. The rival is counting the shots, with the base for ties.

Strengths are chosen on an earlier period, always without the page they are judged on and without the shoppers asked there.
The report period is looked at with what was chosen.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from benchmarks.adaptations.shops import clean_shop
from benchmarks.fewshot.ask import difference
from benchmarks.fewshot.logs import embedded
from benchmarks.rankings import amazon
from benchmarks.rankings.questions import order_only_histories
from benchmarks.record import Bar
from recsys_core.adaptation import PAGE_STRENGTHS, PageStrength, shot_counts, strength_at, values_of
from recsys_core.base_model import Ranker, RankerConfig, fit_ranker
from recsys_core.interactions import (
    SECONDS_PER_DAY,
    Catalogue,
    Histories,
    Interactions,
    Queries,
    make_queries,
    take_queries,
)
from recsys_core.metrics import metrics_from_ranks

log = logging.getLogger(__name__)

SIZES, DRAWS = (4, 16, 64, 256), 10
GOALS = {4: (">", 0.0), 16: (">", 0.0), 64: (">=", -0.002), 256: (">=", -0.002)}
GRID = tuple(PageStrength(*one) for one in itertools.product(
    (4, 8, 16), (.001, .003, .01, .03, .1, .3, .5), (.3, .6, 1., 1.5)))
ENOUGH = 0.6  # a page takes part at K shots if its pool holds so many of them
SHOT_USERS, CHOOSING_USERS = 0.4, 0.5  # shares of shoppers: who give shots; of the others, who help to choose at Amazon
QUESTIONS = 300  # a page
EARLIER_DAYS, SHOT_DAYS, ASKED_DAYS = 60, 28, 28
CLUSTERS, FOLDS = 24, 2
COUNT_STEP = 100.0  # more than the base ever spreads, so that counts decide and the base breaks ties
ONE_SIDED = 1.645  # standard errors
CHUNK, TOP = 64, 10


@dataclass(frozen=True)
class Page:
    """One withheld set of items: the shots that may be drawn, and questions scored by a base that never saw it.

    Args:
        rows: int64 [m], its catalogue rows. shot_items, shot_users: int [pool], the shots' rows and shoppers.
        base: float32 [n, m], logits of the page's items. target_indptr, targets: positions in `rows`. users: int [n].
    """

    shop: str
    name: str
    catalogue: Catalogue
    rows: np.ndarray
    shot_items: np.ndarray
    shot_users: np.ndarray
    base: np.ndarray
    target_indptr: np.ndarray
    targets: np.ndarray
    users: np.ndarray


def run() -> dict:
    """Choose on the earlier period, judge on the report period."""
    blend, earlier = embedded_pages(EARLIER_DAYS)
    chosen = [gains(page, GRID) for page in [*earlier, *amazon_pages("valid")]]
    log.info("chosen on everything: %s", everything := {k: choose(chosen, k) for k in SIZES})
    _, late = embedded_pages(0, blend)
    return judge([*late, *amazon_pages("test")], chosen) | {
        "chosen": [{"shots": k, **(vars(one) if one else {"power": None, "share": None, "base": None})}
                   for k, one in everything.items()]}


# --- the pages -------------------------------------------------------------------------------------------------------------


def embedded_pages(back_days: int, blend: np.ndarray | None = None) -> tuple[np.ndarray, list[Page]]:
    """The departments of the embedded shop as it was so many days before its end; and the blend's weights.

    Args:
        blend: weights chosen on an earlier period; None: chosen on the fortnight before the shots.
    """
    shop = embedded(back_days)
    catalogue, events = shop.catalogue, shop.events
    asked_from = shop.end - int(ASKED_DAYS * SECONDS_PER_DAY)
    cutoff = asked_from - int(SHOT_DAYS * SECONDS_PER_DAY)
    gives = in_share(events.user_ids, SHOT_USERS)
    pool = gives[events.user] & (events.timestamp >= cutoff) & (events.timestamp < asked_from)
    domains = {name: member for name, member in clean_shop(None).domains.items()
               if np.count_nonzero(pool & member[events.item]) >= ENOUGH * SIZES[-2]}
    closed = np.any(list(domains.values()), axis=0)
    known = events.where(~closed[events.item]).before(cutoff)
    if blend is None:
        chosen_from = cutoff - int(14 * SECONDS_PER_DAY)
        choices = make_queries(known, chosen_from, cutoff, max_queries=400, rng=np.random.default_rng(0))
        blend = fit_ranker(known.before(chosen_from), catalogue, RankerConfig(), validation=choices).weights
    ranker, pages = fit_ranker(known, catalogue, RankerConfig(), weights=blend), []
    for name, member in domains.items():
        asked = make_queries(events, asked_from, shop.end, target=member[events.item], users=~gives,
                             max_queries=QUESTIONS, rng=np.random.default_rng(1))
        pages.append(_page("embedded shop", name, ranker, member, closed, events.where(pool & member[events.item]), asked,
                           int(np.median(asked.timestamp))))
    log.info("embedded shop, %d days back: %d departments", back_days, len(pages))
    return blend, pages


def amazon_pages(period: str) -> list[Page]:
    """The text clusters of Amazon Industrial. Half of them are withheld at a time.

    Args:
        period: "valid": counts and shots of train, questions of valid by half of the shoppers; "test": counts and shots of
            train and valid, the published test rows. Shoppers who give shots choose the blend, on valid.
    """
    catalogue, events, train = amazon.read_events()
    gives, chooses = in_share(events.user_ids, SHOT_USERS), in_share(events.user_ids, CHOOSING_USERS, seed=1)
    counted = train if period == "valid" else np.ones(len(events), bool)
    valid = make_queries(events, 0, 2**40, target=~train, max_history=amazon.HISTORY)
    choices = take_queries(valid, np.flatnonzero(gives[valid.user]))
    asked, asks = (valid, chooses & ~gives) if period == "valid" else (_test_rows(catalogue, events), ~gives)
    asked = take_queries(asked, np.flatnonzero(asks[asked.user]))
    clusters, pages = text_clusters(catalogue), []
    for fold in range(FOLDS):
        closed = clusters % FOLDS == fold
        opened, began = ~closed[events.item], without(choices, closed, targets=True)
        blend = fit_ranker(events.where(train & opened), catalogue, RankerConfig(),
                           validation=take_queries(began, np.arange(min(400, len(began))))).weights
        ranker = fit_ranker(events.where(counted & opened), catalogue, RankerConfig(), weights=blend)
        for cluster in np.unique(clusters[closed]).tolist():
            member = clusters == cluster
            shots = events.where(counted & gives[events.user] & member[events.item])
            mine = without(asked, ~member, targets=True, histories=False)
            mine = take_queries(mine, np.sort(np.random.default_rng(1).permutation(len(mine))[:QUESTIONS]))
            if len(shots) >= ENOUGH * SIZES[-2] and len(mine) >= 20:
                pages.append(_page("Amazon Industrial", f"cluster {cluster}", ranker, member, closed, shots, mine, None))
    log.info("Amazon Industrial, %s: %d clusters", period, len(pages))
    return pages


def _test_rows(catalogue: Catalogue, events: Interactions) -> Queries:
    """The published test rows as questions."""
    test = pl.read_parquet(amazon.folder() / "test.parquet")
    number = {user: row for row, user in enumerate(events.user_ids)}
    test = test.filter(pl.col("user_id").is_in(events.user_ids))
    histories = order_only_histories([[catalogue.row_of[str(i)] for i in history] for history in test["history"]])
    targets = np.array([catalogue.row_of[str(i)] for i in test["target"]], np.int32)
    return Queries(np.array([number[user] for user in test["user_id"]], np.int32), np.zeros(test.height, np.int64), histories,
                   np.arange(test.height + 1, dtype=np.int64), targets)


def text_clusters(catalogue: Catalogue) -> np.ndarray:
    """int [N]: k-means of the items' vectors."""
    from scipy.cluster.vq import kmeans2

    return kmeans2(catalogue.item_vectors.astype(np.float64), CLUSTERS, minit="++", seed=0)[1]


def without(queries: Queries, items: np.ndarray, *, targets: bool = False, histories: bool = True) -> Queries:
    """The questions without some items, bool [N]: in their histories, and, with `targets`, among what was taken; questions
    that then have no target are not asked."""
    past, indptr, wanted = queries.histories, queries.target_indptr, queries.targets
    if histories:
        kept = ~items[past.items]
        past = Histories(np.r_[0, np.cumsum(kept)][past.indptr].astype(np.int64), past.items[kept], past.steps_ago[kept],
                         past.days_ago[kept], past.event_type[kept])
    if targets:
        kept = ~items[wanted]
        indptr, wanted = np.r_[0, np.cumsum(kept)][indptr].astype(np.int64), wanted[kept]
    found = replace(queries, histories=past, target_indptr=indptr, targets=wanted)
    return take_queries(found, np.flatnonzero(np.diff(indptr)))


def _page(shop: str, name: str, ranker: Ranker, member: np.ndarray, closed: np.ndarray, shots: Interactions, asked: Queries,
          now: int | None) -> Page:
    """Score a page's questions, whose histories lose all withheld items."""
    rows, asked = np.flatnonzero(member), without(asked, closed)
    base = [ranker.score(asked.histories[low:low + CHUNK], now)[:, rows] for low in range(0, len(asked), CHUNK)]
    return Page(shop, name, ranker.catalogue, rows, shots.item, shots.user, np.concatenate(base), asked.target_indptr,
                np.searchsorted(rows, asked.targets), asked.user)


def in_share(user_ids: list[str], share: float, seed: int = 0) -> np.ndarray:
    """bool [U]: the shoppers of a share, by a hash of the id, so that nobody ever changes sides."""
    limit = int(share * 2**32)
    return np.array([int.from_bytes(hashlib.sha256(f"{seed}:{user}".encode()).digest()[:4], "little") < limit
                     for user in user_ids], bool)


# --- shots and scores ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gains:
    """NDCG@10 of one page's questions, means over draws, by number of shots K.

    Args:
        values: K → float64 [systems, n]: the base, counting, then the strengths in turn. drawn: K → mean number of shots.
    """

    page: Page
    values: dict[int, np.ndarray]
    drawn: dict[int, float]


def gains(page: Page, strengths: tuple[PageStrength, ...] | dict[int, tuple[PageStrength, ...]]) -> Gains:
    """Ask a page at every number of shots it has. strengths: the same at every K, or by K."""
    values, drawn = {}, {}
    for k in SIZES:
        if len(page.shot_items) < ENOUGH * k:
            continue
        mine = strengths[k] if isinstance(strengths, dict) else strengths
        draws = list(_draws(page, k))
        values[k] = np.mean([ndcg(page, offsets(page, items, mine)) for items in draws], axis=0)
        drawn[k] = float(np.mean([len(items) for items in draws]))
    return Gains(page, values, drawn)


def _draws(page: Page, k: int) -> Iterator[np.ndarray]:
    """Random shots, at most ⌈K/8⌉ of a shopper: int [≤ K], catalogue rows."""
    for draw in range(DRAWS):
        order, given, kept = np.random.default_rng([draw, k]).permutation(len(page.shot_items)), {}, []
        for row in order.tolist():
            user = int(page.shot_users[row])
            if given.get(user, 0) < math.ceil(k / 8) and len(kept) < k:
                given[user] = given.get(user, 0) + 1
                kept.append(row)
        yield page.shot_items[kept]


def offsets(page: Page, items: np.ndarray, strengths: tuple[PageStrength, ...]) -> np.ndarray:
    """float32 [2 + strengths, m]: of the base (none), of counting, of each strength."""
    counts, alike = shot_counts(page.catalogue, page.rows, items, tuple({one.power for one in strengths} or {8}))
    counting = np.unique(counts, return_inverse=True)[1] * COUNT_STEP
    return np.stack([np.zeros(len(counts)), counting,
                     *(values_of(counts, alike[one.power], one) for one in strengths)]).astype(np.float32)


def ndcg(page: Page, added: np.ndarray) -> np.ndarray:
    """NDCG@10 [V, n] of the base with each of V offsets, ranked within the page, ties at their expected rank.

    Items that the base cannot lift among the best ten in any question are left out: nothing they do is seen.
    """
    query = np.repeat(np.arange(len(page.users)), np.diff(page.target_indptr))
    spread, found = float(np.ptp(page.base, axis=1).max()), []
    for values in added:
        tenth = np.partition(values, -min(TOP, len(values)))[-min(TOP, len(values))]
        near = np.flatnonzero(values >= tenth - spread)
        moved = page.base[:, near] + values[near]
        own = page.base[query, page.targets] + values[page.targets]
        greater, tied = np.empty((2, len(own)), np.int64)
        for low in range(0, len(own), CHUNK):
            part = slice(low, low + CHUNK)
            greater[part] = np.count_nonzero(moved[query[part]] > own[part, None], axis=1)
            tied[part] = np.count_nonzero(moved[query[part]] == own[part, None], axis=1) - 1
        far = values[page.targets] < tenth - spread
        found.append(metrics_from_ranks(np.where(far, TOP, greater), np.where(far, 0, tied), page.target_indptr)["ndcg@10"])
    return np.array(found)


# --- choosing and judging --------------------------------------------------------------------------------------------------


def choose(chosen: list[Gains], k: int, judged: Page | None = None) -> PageStrength | None:
    """The strength of the grid whose mean gain over counting has the best lower bound; None: counting itself, where no
    bound is above zero.

    Pages of a shop weigh the same, and so do shops. The bound is one-sided, 95%, over pages: the best mean alone was
    often that of a few pages, and at 64 and 256 shots pages left out of the choice then lost.

    Args:
        judged: a page that is left out, with every question of its asked shoppers.
    """
    by_shop: dict[str, list[np.ndarray]] = {}
    for one in chosen:
        if k not in one.values or (judged is not None and (one.page.shop, one.page.name) == (judged.shop, judged.name)):
            continue
        kept = np.ones(len(one.page.users), bool)
        if judged is not None and one.page.shop == judged.shop:
            kept = ~np.isin(one.page.users, judged.users)
        if kept.any():
            _, counting, *ours = one.values[k][:, kept].mean(axis=1)
            by_shop.setdefault(one.page.shop, []).append(np.array(ours) - counting)
    shops = [np.array(pages) for pages in by_shop.values()]
    mean = np.mean([pages.mean(axis=0) for pages in shops], axis=0)
    error = np.sqrt(sum(pages.var(axis=0, ddof=1) / len(pages) for pages in shops)) / len(shops)
    bound = mean - ONE_SIDED * error
    return GRID[int(bound.argmax())] if bound.max() > 0 else None


def judge(pages: list[Page], chosen: list[Gains]) -> dict:
    """The report period: base, counting, what was chosen without the page, and what ships."""
    found: list[tuple[Gains, dict[int, bool]]] = []
    for page in pages:
        mine = {k: choose(chosen, k, page) for k in SIZES}
        asked = {k: (one or GRID[0], strength_at(PAGE_STRENGTHS, k)) for k, one in mine.items()}
        found.append((gains(page, asked), {k: one is None for k, one in mine.items()}))
    rows, pooled = [], {}
    for k in SIZES:
        for shop in ("embedded shop", "Amazon Industrial", "both"):
            parts = [(one, counts[k]) for one, counts in found if k in one.values and shop in (one.page.shop, "both")]
            base, counting, ours, shipped = (np.concatenate([
                one.values[k][1 if counts and row == 2 else row] for one, counts in parts]) for row in range(4))
            users = np.concatenate([one.page.users + (10**7 if one.page.shop != "embedded shop" else 0) for one, _ in parts])
            gain, ships = difference(ours, counting, users), difference(shipped, counting, users)
            rows.append({"shots": k, "drawn": float(np.mean([one.drawn[k] for one, _ in parts])), "shop": shop,
                         "pages": len(parts), "questions": gain.n, "base": float(base.mean()),
                         "counting": float(counting.mean()), "ours": float(ours.mean()), "gain": gain.mean,
                         "low": gain.low, "high": gain.high, "shipped gain": ships.mean, "shipped low": ships.low})
            if shop == "both":
                pooled[k] = gain.to_json()
    return {"rows": rows, "gains": {str(k): value for k, value in pooled.items()}}


def bars(part: dict | None) -> list[Bar]:
    """What the chosen strengths gain over counting, at every number of shots."""
    found = []
    for k, (op, goal) in GOALS.items():
        name = f"fewshot.domain_over_count_low@{k}"
        if part is None:
            found.append(Bar(name, None, op, goal, note=f"{amazon.folder()} is absent; set RECSYS_DATA"))
            continue
        gain = part["gains"][str(k)]
        found.append(Bar(name, gain["low"], op, goal, gain["low"], gain["high"], gain["clusters"],
                         f"NDCG@10 within the page, {DRAWS} draws; the value is the lower end of the gain over counting, "
                         f"whose mean is {gain['mean']:.4f}; {gain['n']} questions; interval over shoppers"))
    return found
