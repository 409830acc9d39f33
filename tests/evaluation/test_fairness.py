"""Groups of shoppers and items on planted answers: who is ranked for worse, and what is shown less than it is taken."""

import numpy as np
import polars as pl
import pytest

from recsys_core.evaluation.fairness import (
    group_values,
    measure_fairness,
    newness_groups,
    popularity_groups,
    shopper_groups,
    too_far,
)
from recsys_core.interactions.arrays import make_queries
from recsys_core.interactions.windows import BASE
from recsys_core.oversight import FairnessSpec
from tests.evaluation.planted import planted_study

SPEC = FairnessSpec(users=("region",), items=("category",))


@pytest.fixture(scope="module")
def study():
    return planted_study()


@pytest.fixture(scope="module")
def queries(study):
    window = study.base.plan[BASE]
    return make_queries(study.events, window.report_start, window.report_end, max_queries=600, rng=np.random.default_rng(1))


def measured(study, queries, quality, lists, spec=SPEC):
    base = study.base_at(study.base.plan[BASE].report_start)[0]
    found = measure_fairness(study, spec, base, queries, quality, lists, np.random.default_rng(2))
    return found, {(one.column, one.group): one for one in (*found.shoppers, *found.items)}


def in_the_north(study, queries):
    return np.array([int(study.events.user_ids[user][1:]) % 4 == 0 for user in queries.user])


def lists_of(study, queries, category):
    rows = np.flatnonzero((study.base.catalogue.items["category"] == category).to_numpy())[:10]
    return np.tile(rows, (len(queries), 1))


def test_a_group_that_is_ranked_for_half_as_well_is_told_and_held(study, queries):
    rng, north = np.random.default_rng(0), in_the_north(study, queries)
    quality = np.where(north, 0.2, 0.4) + rng.normal(0, 0.05, len(queries))
    found, by = measured(study, queries, quality, lists_of(study, queries, "kitchen"))
    one = by["region", "north"]
    assert one.lacks == pytest.approx(0.5, abs=0.03) and one.gap.low < -0.2 < one.gap.high < 0
    assert one.questions == north.sum() and by["region", "south"].lacks < 0
    assert too_far(found, SPEC.model_copy(update={"quality_gap": 0.3}))[0].startswith("region north: NDCG lacks")
    assert too_far(found, SPEC.model_copy(update={"quality_gap": 0.6})) == too_far(found, SPEC) == []


def test_groups_that_are_alike_are_not_held_however_narrow_the_limit(study, queries):
    quality = np.random.default_rng(3).random(len(queries))
    found, by = measured(study, queries, quality, lists_of(study, queries, "kitchen"))
    assert by["region", "north"].gap.low < 0 < by["region", "north"].gap.high
    assert too_far(found, SPEC.model_copy(update={"quality_gap": 1e-9})) == []


def test_a_group_of_a_few_shoppers_has_a_figure_and_no_gap(study, queries):
    study = planted_study()
    study.users = pl.DataFrame({"user_id": ["u000"], "region": ["moon"]})
    quality = np.ones(len(queries))
    _, by = measured(study, queries, quality, lists_of(study, queries, "kitchen"))
    assert by["region", "moon"].gap is None and by["region", "moon"].quality.mean == 1
    assert by["region", "unknown"].users == len(np.unique(queries.user)) - 1


def test_what_is_never_shown_lacks_all_of_its_demand(study, queries):
    found, by = measured(study, queries, np.ones(len(queries)), lists_of(study, queries, "kitchen"))
    kitchen = by["category", "kitchen"]
    assert kitchen.exposure.mean == pytest.approx(1) and kitchen.gap.low > 0
    other = next(one for one in found.items if one.column == "category" and one.group != "kitchen")
    assert other.exposure.mean == 0 and other.lacks == pytest.approx(1) and other.gap.high < 0
    items = study.base.catalogue.items["category"].to_numpy()[queries.targets]
    asked = np.repeat(np.arange(len(queries)), np.diff(queries.target_indptr))
    share = np.bincount(asked, items == "kitchen") / np.diff(queries.target_indptr)
    assert kitchen.taken == pytest.approx(share.mean())
    held = too_far(found, SPEC.model_copy(update={"exposure_gap": 0.9}))
    assert held and all(phrase.startswith("category ") for phrase in held)  # popularity and newness are told, not limited


def test_higher_places_get_more_attention(study, queries):
    rows = lists_of(study, queries, "kitchen")
    other = np.flatnonzero((study.base.catalogue.items["category"] != "kitchen").to_numpy())[0]
    rows[:, 0] = other
    _, by = measured(study, queries, np.ones(len(queries)), rows)
    discounts = 1 / np.log2(2 + np.arange(10))
    assert by["category", "kitchen"].exposure.mean == pytest.approx(1 - discounts[0] / discounts.sum())


def test_items_are_grouped_by_thirds_of_events():
    codes, names = popularity_groups(np.array([10.0, 1, 30, 5, 5, 9, 0, 30]))
    assert codes.tolist() == [2, 2, 0, 2, 2, 2, 2, 1] and len(names) == 3
    assert popularity_groups(np.zeros(4))[0].tolist() == [2] * 4


def test_newness_is_counted_up_to_what_the_base_has_seen(study):
    base = study.base_at(study.base.plan[BASE].report_start)[0]
    codes, names = newness_groups(study, base)["newness"]
    assert set(codes.tolist()) == {0} and len(names) == 3  # every item of the planted shop is old
    early = study.base.ranker(int(study.events.timestamp.min()) + 7 * 86_400)
    assert set(newness_groups(study, early)["newness"][0].tolist()) <= {1, 2}


def test_a_number_is_cut_at_its_quartiles_and_rare_texts_share_a_group(study, queries):
    codes, names = group_values(pl.Series([float(n) for n in range(100)] + [None]))
    assert np.bincount(codes).tolist() == [25, 25, 25, 25, 1] and names[0] == "up to 24.75" and names[-1] == "unknown"
    codes, names = group_values(pl.Series([f"v{n % 14:02d}" for n in range(40)]))
    assert len(names) == 13 and "all others" in names
    assert shopper_groups(study, "region", queries)[1] == ["north", "south", "unknown"]


def test_nothing_asked_is_nothing_measured(study):
    nothing = make_queries(study.events, 0, 1)
    found, _ = measured(study, nothing, np.zeros(0), np.zeros((0, 10), int))
    assert not found.shoppers and not found.items
