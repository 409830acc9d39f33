"""Are groups of shoppers ranked for, and groups of items shown, alike?

Shoppers: NDCG of a group beside that of everybody else. Items: the attention that lists give a group (a place counts as
in NDCG, 1/log2(1 + rank); Singh and Joachims 2018) beside the group's share of what was taken at the same questions.
Every interval draws shoppers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from recsys_core.adaptation import Study
from recsys_core.base_model import Ranker
from recsys_core.evaluation.results import Fairness, ItemGroup, ShopperGroup
from recsys_core.interactions import SECONDS_PER_DAY, Queries
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.oversight import FairnessSpec
from recsys_core.schema import PSEUDO_DAY

MOST_GROUPS = 12  # of a column; a number with more values is cut at its quartiles, rarer texts share one group
FEWEST_USERS, FEWEST_QUESTIONS = 10, 30  # of a group, for a gap to be told
NEW_DAYS = 28  # days since its first event that an item is new
UNKNOWN, OTHERS = "unknown", "all others"
Groups = tuple[np.ndarray, list[str]]  # the group of every row, int [n], and the groups' names


def measure_fairness(study: Study, spec: FairnessSpec, base: Ranker, queries: Queries, quality: np.ndarray, lists: np.ndarray,
                     rng: np.random.Generator) -> Fairness:
    """Measure both on the same questions.

    Args:
        study: the shop's events beside the base.
        spec: the columns that the shop declares; exposure by popularity and newness needs none.
        base: as it answered.
        queries: n questions.
        quality: float [n], the metric of each.
        lists: int [n, k], what each was answered with, best first.
        rng: draws shoppers.
    """
    if not len(queries):
        return Fairness()
    shoppers = [row for column in spec.users for row in _of_shoppers(column, shopper_groups(study, column, queries), queries,
                                                                     quality, rng)]
    by_item = {column: group_values(study.base.catalogue.items[column]) for column in spec.items}
    by_item |= {"popularity": popularity_groups(base.counts.popularity)} | newness_groups(study, base)
    return Fairness(shoppers=shoppers, items=[row for column, groups in by_item.items()
                                              for row in _of_items(column, groups, queries, lists, rng)])


def too_far(found: Fairness, spec: FairnessSpec) -> list[str]:
    """A phrase per group that lacks more than the shop allows, proven: its interval leaves zero out."""
    shoppers = [f"{one.column} {one.group}: NDCG lacks {one.lacks:.0%} beside all others, {spec.quality_gap:.0%} allowed"
                for one in found.shoppers if spec.quality_gap is not None and _lacks(one.gap, one.lacks, spec.quality_gap)]
    items = [f"{one.column} {one.group}: exposure lacks {one.lacks:.0%} of its demand, {spec.exposure_gap:.0%} allowed"
             for one in found.items if spec.exposure_gap is not None and one.column in spec.items
             and _lacks(one.gap, one.lacks, spec.exposure_gap)]
    return shoppers + items


def _lacks(gap: Interval | None, share: float | None, limit: float) -> bool:
    return gap is not None and share is not None and gap.high < 0 and share > limit


def shopper_groups(study: Study, column: str, queries: Queries) -> Groups:
    """The group of every question's shopper."""
    users = pl.DataFrame({"user_id": study.events.user_ids})
    known = pl.DataFrame({"user_id": [], column: []}, schema={"user_id": pl.String, column: pl.String}) \
        if study.users is None or column not in study.users.columns else study.users.select("user_id", column)
    values = users.join(known.unique("user_id", keep="first", maintain_order=True), on="user_id", how="left",
                        maintain_order="left")[column]
    codes, names = group_values(values.gather(queries.user))
    return codes, names


def group_values(values: pl.Series) -> Groups:
    """Groups from a column: its values; the quartiles of a number with many; of many texts the most frequent and the rest.

    >>> group_values(pl.Series(["b", None, "a", "b"]))
    (array([1, 2, 0, 1]), ['a', 'b', 'unknown'])
    """
    if values.dtype.is_numeric() and values.n_unique() > MOST_GROUPS:
        cuts = np.unique(np.quantile(values.drop_nulls().drop_nans().to_numpy(), [0.25, 0.5, 0.75]))
        bounds = ["", *(f"{cut:g}" for cut in cuts), ""]
        names = [f"{low or 'up'} to {high}" if high else f"above {low}" for low, high in pairwise(bounds)]
        numbers = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
        codes = np.where(np.isnan(numbers), len(names), np.searchsorted(cuts, numbers))
        return codes, [*names, UNKNOWN]
    texts = values.cast(pl.String)
    counted = texts.drop_nulls().value_counts().sort(["count", texts.name], descending=[True, False])[texts.name].to_list()
    kept = counted if len(counted) <= MOST_GROUPS else counted[:MOST_GROUPS - 1]
    names = [*sorted(kept), *([OTHERS] if len(kept) < len(counted) else []), UNKNOWN]
    code_of = {name: code for code, name in enumerate(names[:len(kept)])}
    return np.array([len(names) - 1 if text is None else code_of.get(text, len(kept)) for text in texts.to_list()]), names


def popularity_groups(popularity: np.ndarray) -> Groups:
    """Three groups of items that were taken about equally often in all: few very popular ones, more, and the many others."""
    order = np.argsort(-popularity, kind="stable")
    before = np.r_[0, np.cumsum(popularity[order])[:-1]] / max(float(popularity.sum()), 1e-9)
    codes = np.empty(len(order), np.int64)
    codes[order] = np.minimum((before * 3).astype(np.int64), 2)
    codes[popularity <= 0] = 2
    return codes, ["most popular third of events", "middle third", "least popular third"]


def newness_groups(study: Study, base: Ranker) -> dict[str, Groups]:
    """Items by their first event before the base's newest; nothing in a shop without times."""
    newest = int(base.counts.newest)
    if newest // SECONDS_PER_DAY == np.datetime64(PSEUDO_DAY, "D").astype(np.int64):
        return {}
    first, events = np.full(len(study.base.catalogue), np.iinfo(np.int64).max), study.events
    np.minimum.at(first, events.item, events.timestamp)
    age = (newest - first) / SECONDS_PER_DAY
    names = [f"first taken {NEW_DAYS} days ago or earlier", f"first taken within {NEW_DAYS} days", "not taken before"]
    return {"newness": (np.where(first > newest, 2, np.where(age < NEW_DAYS, 1, 0)), names)}


def _of_shoppers(column: str, groups: Groups, queries: Queries, quality: np.ndarray, rng: np.random.Generator
                 ) -> Iterator[ShopperGroup]:
    codes, names = groups
    for code, name in enumerate(names):
        own = codes == code
        if not own.any():
            continue
        ours, users = paired_bootstrap(quality[own], queries.user[own], rng), len(np.unique(queries.user[own]))
        gap, lacks = None, None
        if users >= FEWEST_USERS and own.sum() >= FEWEST_QUESTIONS and not own.all():
            theirs = paired_bootstrap(quality[~own], queries.user[~own], rng)
            gap = difference(ours, theirs)
            lacks = -gap.mean / theirs.mean if theirs.mean > 0 else None
        yield ShopperGroup(column=column, group=name, users=users, questions=int(own.sum()), quality=ours, gap=gap, lacks=lacks)


def _of_items(column: str, groups: Groups, queries: Queries, lists: np.ndarray, rng: np.random.Generator) -> Iterator[ItemGroup]:
    codes, names = groups
    weight = 1 / np.log2(2 + np.arange(lists.shape[1]))
    weight, asked = weight / weight.sum(), np.repeat(np.arange(len(queries)), np.diff(queries.target_indptr))
    sizes = np.maximum(np.diff(queries.target_indptr), 1)
    for code, name in enumerate(names):
        own = codes == code
        if not own.any():
            continue
        shown = own[lists] @ weight
        taken = np.bincount(asked, own[queries.targets], len(queries)) / sizes
        gap = paired_bootstrap(shown - taken, queries.user, rng)
        yield ItemGroup(column=column, group=name, items=int(own.sum()), exposure=paired_bootstrap(shown, queries.user, rng),
                        taken=float(taken.mean()), gap=gap, lacks=-gap.mean / taken.mean() if taken.any() else None)


def difference(ours: Interval, theirs: Interval) -> Interval:
    """The difference of two independent means from their intervals (MOVER, Zou and Donner 2008).

    >>> round(difference(Interval(0.5, 0.4, 0.6, 0.1, 50, 9), Interval(0.3, 0.3, 0.3, 0.1, 50, 9)).low, 3)
    0.1
    """
    from scipy.special import ndtr

    mean = ours.mean - theirs.mean
    low = mean - math.hypot(ours.mean - ours.low, theirs.high - theirs.mean)
    high = mean + math.hypot(ours.high - ours.mean, theirs.mean - theirs.low)
    spread = (high - low) / 3.92
    p_value = float(ndtr(-mean / spread)) if math.isfinite(spread) and spread > 0 else 1.0
    return Interval(mean, low, high, p_value, ours.n + theirs.n, ours.clusters + theirs.clusters)
