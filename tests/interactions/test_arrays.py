"""Histories, steps and questions against hand-made event tables."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys_core.errors import DataError
from recsys_core.interactions.arrays import Catalogue, Interactions, make_interactions, make_queries

DAY = 86_400
MORNING = datetime(2024, 3, 1, 8, tzinfo=UTC)


def catalogue(categories=None, brands=None) -> Catalogue:
    n = len(categories or "abcde")
    items = pl.DataFrame({"item_id": list("abcdefgh")[:n], "text": [f"text {row // 2}" for row in range(n)],
                          "category": categories or [None] * n, "brand": brands or [None] * n},
                         schema_overrides={"category": pl.String, "brand": pl.String})
    return Catalogue(items, np.arange(n, dtype=np.int32) // 2, np.eye((n + 1) // 2, dtype=np.float32))


def events(rows: list[tuple[int, int, int]]) -> Interactions:
    """(user, second, item) triples, sorted."""
    user, timestamp, item = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return Interactions(user.astype(np.int32), item.astype(np.int32), timestamp.astype(np.int64),
                        (np.arange(len(user)) % 3).astype(np.int8), np.arange(len(user)), ["u0", "u1", "u2"])


# User 0: a basket {0, 1} on day 0, item 2 half a day later, a basket {0, 3} on day 2. User 1: item 4 on day 1.
SHOP = events([(0, 0, 0), (0, 0, 1), (0, DAY // 2, 2), (0, 2 * DAY, 0), (0, 2 * DAY, 3), (1, DAY, 4)])


def history(queries, at: int) -> dict[str, list]:
    rows = slice(*queries.histories.indptr[at:at + 2])
    return {name: getattr(queries.histories, name)[rows].tolist() for name in ("items", "steps_ago", "days_ago",
                                                                              "event_type")}


def targets(queries, at: int) -> list[int]:
    return queries.targets[slice(*queries.target_indptr[at:at + 2])].tolist()


def test_events_of_one_timestamp_are_one_question_with_only_earlier_events_behind_it():
    asked = make_queries(SHOP, 0, 3 * DAY)
    assert list(zip(asked.user.tolist(), asked.timestamp.tolist(), strict=True)) == [
        (0, 0), (0, DAY // 2), (0, 2 * DAY), (1, DAY)]
    assert [targets(asked, at) for at in range(4)] == [[0, 1], [2], [0, 3], [4]]
    assert history(asked, 0)["items"] == [] and history(asked, 3)["items"] == []
    assert history(asked, 1) == {"items": [0, 1], "steps_ago": [0, 0], "days_ago": [.5, .5], "event_type": [0, 1]}
    assert history(asked, 2) == {"items": [0, 1, 2], "steps_ago": [1, 1, 0], "days_ago": [2, 2, 1.5],
                                 "event_type": [0, 1, 2]}


def test_the_window_is_half_open_and_reaches_back_for_histories():
    asked = make_queries(SHOP, DAY // 2, 2 * DAY)
    assert asked.timestamp.tolist() == [DAY // 2, DAY]
    assert history(asked, 0)["items"] == [0, 1]
    assert len(make_queries(SHOP, 3 * DAY, 4 * DAY)) == 0


def test_long_histories_keep_the_newest_events_and_short_ones_can_be_left_out():
    asked = make_queries(SHOP, 0, 3 * DAY, max_history=2)
    assert history(asked, 2) == {"items": [1, 2], "steps_ago": [1, 0], "days_ago": [2, 1.5], "event_type": [1, 2]}
    assert make_queries(SHOP, 0, 3 * DAY, min_history=3).timestamp.tolist() == [2 * DAY]
    assert len(make_queries(SHOP, 0, 3 * DAY, min_history=4)) == 0


def test_a_target_mask_narrows_targets_but_never_histories():
    asked = make_queries(SHOP, 0, 3 * DAY, target=np.isin(SHOP.item, [2, 3]))
    assert [targets(asked, at) for at in range(len(asked))] == [[2], [3]]
    assert history(asked, 1)["items"] == [0, 1, 2]


def test_only_the_users_asked_for_are_asked():
    asked = make_queries(SHOP, 0, 3 * DAY, users=np.array([False, True, True]))
    assert asked.user.tolist() == [1]


def test_a_basket_with_one_item_twice_has_one_target():
    asked = make_queries(events([(0, 0, 1), (0, DAY, 2), (0, DAY, 2)]), DAY, 2 * DAY)
    assert targets(asked, 0) == [2]


def test_sampling_needs_a_generator_and_keeps_order():
    with pytest.raises(DataError, match="without a random generator"):
        make_queries(SHOP, 0, 3 * DAY, max_queries=2)
    drawn = [make_queries(SHOP, 0, 3 * DAY, max_queries=2, rng=np.random.default_rng(seed)) for seed in (1, 1, 2, 3)]
    assert all(len(asked) == 2 and (np.diff(asked.user * 10 * DAY + asked.timestamp) > 0).all() for asked in drawn)
    assert drawn[0].timestamp.tolist() == drawn[1].timestamp.tolist()
    assert len({tuple(asked.timestamp.tolist()) for asked in drawn}) > 1
    assert len(make_queries(SHOP, 0, 3 * DAY, max_queries=9, rng=np.random.default_rng(0))) == 4


def test_slices_of_histories_are_the_histories_of_the_slice():
    asked = make_queries(SHOP, 0, 3 * DAY)
    part = asked.histories[1:3]
    assert len(part) == 2 and part.indptr.tolist() == [0, 2, 5] and part.items.tolist() == [0, 1, 0, 1, 2]


def test_interactions_are_numbered_sorted_and_keep_their_row():
    table = pl.DataFrame({
        "event_id": ["e0", "e1", "e2", "e3"], "user_id": ["zoe", "amy", "zoe", "amy"],
        "item_id": ["b", "gone", "a", "c"], "event_type": ["purchase", "click", "click", "view"],
        "timestamp": [MORNING + timedelta(hours=h) for h in (5, 1, 2, 9)]})
    found = make_interactions(table, catalogue())
    assert found.user_ids == ["amy", "zoe"]
    assert found.user.tolist() == [0, 1, 1] and found.item.tolist() == [2, 0, 1] and found.row.tolist() == [3, 2, 0]
    assert (found.timestamp - int(MORNING.timestamp())).tolist() == [9 * 3600, 2 * 3600, 5 * 3600]
    assert found.event_type.tolist() == [0, 1, 3]  # view, click, purchase
    assert (found.user.dtype, found.item.dtype, found.timestamp.dtype) == (np.int32, np.int32, np.int64)
    later = found.before(int(MORNING.timestamp()) + 5 * 3600)
    assert later.row.tolist() == [2] and later.user_ids == found.user_ids


def test_groups_are_category_prefixes_and_brands():
    shop = catalogue(categories=["Food > Milk", "Food > Bread > Rye", "Home", None, "Food > Milk"],
                     brands=["acme", None, "zen", "acme", "zen"])
    names, codes, labels = zip(*shop.groups, strict=True)
    assert names == ("category_1", "category_2", "brand")  # the one third-level value tells nothing apart
    assert labels == (["Food", "Home"], ["Food > Bread", "Food > Milk"], ["acme", "zen"])
    assert [code.tolist() for code in codes] == [[0, 0, 1, -1, 0], [1, 0, -1, -1, 1], [0, -1, 1, 0, 1]]
    assert catalogue().groups == []


def test_items_share_the_vector_of_their_text():
    shop = catalogue()
    assert shop.item_vectors.tolist() == shop.vectors[[0, 0, 1, 1, 2]].tolist()
    assert len(shop) == 5 and shop.row_of["c"] == 2
