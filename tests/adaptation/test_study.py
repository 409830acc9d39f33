"""Who belongs where, what is asked, and as of when."""

import numpy as np
import pytest

from recsys_core.adaptation.study import Study
from recsys_core.errors import DataError
from recsys_core.ingestion.config import SegmentSpec
from tests.adaptation.planted import CUTS, DAY, STORES, likes, make_catalogue, planted_study

SHOP = make_catalogue()
DOMAIN = SegmentSpec(name="kitchen", kind="domain", where="items.category = 'kitchen'")
KITCHEN = (SHOP.items["category"] == "kitchen").to_numpy()


@pytest.fixture(scope="module")
def study():
    return planted_study({"a": likes(SHOP), "b": likes(SHOP)}, users=5, segments=(DOMAIN,),
                         segment_items={"kitchen": SHOP.items.filter(KITCHEN)["item_id"].to_list()})


def test_members_of_families_and_segments(study):
    codes, members = study.codes("store")
    assert members == ["a", "b"] and codes.dtype == np.int32
    stores = [study.events.user_ids[user][0] for user in study.events.user]
    assert [members[code] for code in codes] == stores
    codes, members = study.codes("kitchen")
    assert members == [""] and ((codes == 0) == KITCHEN[study.events.item]).all()
    assert (study.kind("store"), study.by("store"), study.kind("kitchen"), study.by("kitchen")) == (
        "family", "context.store", "domain", "")
    with pytest.raises(DataError, match="neither a segment nor a family"):
        study.codes("never declared")


def test_shots_lie_side_by_side_and_before_the_cutoff(study):
    shots = study.shots("store", 3 * DAY)
    assert shots.bounds.tolist() == [0, 15, 30] and shots.sizes().tolist() == [15, 15]
    assert {study.events.user_ids[user][0] for user in shots.users[:15]} == {"a"}
    assert len(study.shots("store", 0)) == 0


def test_a_scenes_shots_begin_with_the_scene(study, monkeypatch):
    from dataclasses import replace
    monkeypatch.setitem(study.base.plan, "store", replace(study.window("store"), shots_start=2 * DAY))
    assert study.shots("store", 3 * DAY).sizes().tolist() == [5, 5]


def test_only_candidates_are_asked_for(study):
    assert study.candidates("store") is None and (study.candidates("kitchen") == KITCHEN).all()
    queries = study.questions("kitchen", CUTS[0], CUTS[1], 10, np.random.default_rng(0))
    assert len(queries) == 10 and KITCHEN[queries.targets].all()
    assert ((queries.timestamp >= CUTS[0]) & (queries.timestamp < CUTS[1])).all()
    share = study.share("kitchen", study.serving[1])
    assert share[KITCHEN].sum() == pytest.approx(1) and share.min() > 0
    assert study.share("store", study.serving[1]) is None


def test_questions_know_their_member_and_their_context(study):
    queries = study.questions("store", CUTS[0], CUTS[1], 10, np.random.default_rng(0))
    stores = [study.events.user_ids[user][0] for user in queries.user]
    assert ["ab"[code] for code in study.asked("store", queries)] == stores
    assert study.contexts(queries).to_list() == [f'{{"store": "{store}"}}' for store in stores]


def test_two_bases_stay_loaded(study):
    first = study.base_at(CUTS[0])
    assert study.base_at(CUTS[0])[0] is first[0]
    study.base_at(CUTS[1])
    assert study.base_at(CUTS[0])[0] is first[0]
    study.base_at(CUTS[2])
    assert study.base_at(CUTS[0])[0] is not first[0]
    assert first[1].item_share.sum() == pytest.approx(1)


def test_counts_are_compared_with_the_base_of_their_cutoff(study):
    assert study.prior_of("store", CUTS[0]) is study.base_at(CUTS[0])[1]
    assert study.prior_of("store", CUTS[3]) is study.serving[1]


def test_shots_of_too_few_shoppers_do_not_count(study):
    users = study.table["user_id"]
    kept = ~users.str.starts_with("b") | users.is_in(users.filter(users.str.starts_with("b")).unique().sort().head(2).implode())
    narrow = [Study(study.base, study.table.filter(kept), study.segment_events, [DOMAIN], [STORES], None, least)
              for least in (1, 2, 3)]
    assert [found.shots("store", 3 * DAY).shoppers().tolist() for found in narrow] == [[5, 2], [5, 2], [5, 0]]
    strict = narrow[-1].shots("store", 3 * DAY)
    assert strict.sizes().tolist() == [15, 0] and {study.events.user_ids[user][0] for user in strict.users} == {"a"}
    assert narrow[-1].all_shots("store", 3 * DAY).sizes().tolist() == [15, 6]
