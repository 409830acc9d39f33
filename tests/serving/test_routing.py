from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from recsys_core.errors import BundleError
from recsys_core.serving.history import to_seconds
from recsys_core.serving.routing import Route, Router, Situation
from tests.serving.tiny import FAVOURITES, ROUTING, USERS, tiny_catalogue

EASTER, SUMMER = to_seconds("2024-03-28T12:00:00Z"), to_seconds("2024-07-01T12:00:00Z")
ITEMS = tiny_catalogue().items
NORTH = {"region": "north", "children": 2}


def router(order=(), routing=ROUTING, users=USERS) -> Router:
    members = {name: list(favourites) for name, favourites in FAVOURITES.items()} | {"town": ["5", "true"]}
    known = [] if users is None else users.drop("user_id").columns
    return Router([Route(**r) for r in routing], order, ITEMS.drop("text"), known, ["store", "weather"], members,
                  "America/New_York")


def situation(at=SUMMER, allowed=None, user=None, first_days_ago=400.0, steps=50, context=None, user_id=None) -> Situation:
    if allowed is not None:
        allowed = ITEMS["department"].is_in(allowed).to_numpy()
    return Situation(at, allowed, user or {}, first_days_ago, steps, context or {}, user_id)


def chosen(given: Situation, order=(), routing=ROUTING, segment="auto") -> tuple[str | None, str]:
    return router(order, routing).resolve(segment, given)[:2]


@pytest.mark.parametrize(("given", "segment"), [
    ({}, None),
    ({"at": EASTER}, "easter"),
    ({"allowed": ["Deli"]}, "deli"),
    ({"allowed": ["Toys"]}, None),                      # refused
    ({"allowed": ["Deli", "Toys"]}, None),              # not all inside
    ({"allowed": []}, None),                            # nothing to answer with
    ({"user": NORTH}, "north"),
    ({"user": {"region": "north"}}, None),              # children unknown
    ({"user": {"region": "north", "children": "two"}}, None),
    ({"first_days_ago": 3.0, "steps": 4}, "new"),
    ({"first_days_ago": 3.0, "steps": 5}, None),        # not promoted for so much history
    ({"first_days_ago": None, "steps": 2}, "new"),
    ({"first_days_ago": None, "steps": 3}, None),
    ({"at": EASTER, "user": NORTH}, "easter"),          # the smaller share is the more specific
    ({"at": EASTER, "user": NORTH, "first_days_ago": 1.0, "steps": 1}, "new"),
    ({"context": {"store": "367"}, "steps": 0}, "store"),
    ({"context": {"store": "367"}, "steps": 5}, None),
    ({"context": {"weather": "rain"}, "steps": 0, "first_days_ago": 400.0}, None),
])
def test_auto_takes_the_most_specific_that_fits(given, segment):
    found = router().resolve("auto", situation(**given))
    assert (found.segment, found.note) == (segment, None)


def test_the_shops_order_comes_before_specificity_and_may_name_families():
    everything = situation(at=EASTER, user=NORTH, first_days_ago=1.0, steps=1, allowed=["Deli"], context={"store": "367"})
    assert chosen(everything) == ("store", "367")
    assert chosen(everything, ("north", "store")) == ("north", "")
    assert chosen(everything, ("store", "north")) == ("store", "367")


def test_a_value_that_a_family_does_not_know_is_named():
    nowhere = situation(context={"store": "99"}, steps=0)
    assert router().resolve("auto", nowhere) == (None, "", "store '99' is unknown to segment 'store': the base serves")
    assert router().resolve("store", nowhere) == (None, "", "store '99' is unknown to segment 'store': the base serves")
    assert "segment 'north' serves" in router().resolve("auto", situation(context={"store": "99"}, steps=0, user=NORTH)).note
    assert router().resolve("store", situation(steps=0)).note == "segment 'store' needs context.store: the base serves"


def test_a_segment_asked_for_by_name_answers_only_the_audiences_it_was_promoted_for():
    here = {"context": {"store": "412"}}
    assert chosen(situation(steps=4, **here), segment="store") == ("store", "412")
    refused = router().resolve("store", situation(steps=5, **here))
    assert refused.segment is None and "not promoted for shoppers of more than 4 known steps" in refused.note


@pytest.mark.parametrize(("town", "member"), [(5, "5"), (True, "true"), (" 5 ", "5"), ("6", ""), (None, "")])
def test_a_family_is_told_apart_by_a_shoppers_attribute(town, member):
    family = [{**ROUTING[-1], "name": "town", "by": "users.town"}]
    assert chosen(situation(user={"town": town}, steps=0), routing=family)[1] == member


@pytest.mark.parametrize(("asked", "meets"), [
    ("(context.weather = 'rain')", True), ("(context.weather = 'sun')", False), ("(context.store IS NULL)", True),
    ("(events.\"day\" = DATE '2024-03-27')", True),  # the shop's day: in UTC it is the 28th
    ("(epoch(events.\"timestamp\") = 1711594800)", True), ("(events.user_id = 'anna')", True),
    ("(hour(events.\"timestamp\") < 24) AND (events.\"timestamp\" < TIMESTAMPTZ '2024-03-28 03:00:01+00')", True),
    ("(users.region = 'south') OR (context.weather = 'rain')", True), ("(users.unheard_of = 1)", False)])
def test_conditions_speak_of_what_the_request_knows(asked, meets):
    route = [{**ROUTING[3], "asked": asked}]
    given = situation(at=to_seconds("2024-03-28T03:00:00Z"), user={"region": "north"}, context={"weather": "rain"},
                      user_id="anna")
    assert chosen(given, routing=route) == ("north" if meets else None, "")


def test_a_segment_of_shoppers_and_items_needs_both():
    both = [{**ROUTING[0], "asked": "(users.region = 'north')"}]
    assert chosen(situation(allowed=["Deli"], user=NORTH), routing=both)[0] == "deli"
    assert chosen(situation(allowed=["Deli"]), routing=both)[0] is None
    assert chosen(situation(allowed=["Deli", "Toys"], user=NORTH), routing=both)[0] is None


def test_scenes_end_on_the_shops_days_not_on_utc_ones():
    last_evening, next_morning = to_seconds("2024-04-02T03:00:00Z"), to_seconds("2024-04-02T05:00:00Z")
    assert router().resolve("easter", situation(at=last_evening)) == ("easter", "", None)
    found = router().resolve("easter", situation(at=next_morning))
    assert found.segment is None and "ended on 2024-04-01" in found.note
    assert router().resolve("auto", situation(at=next_morning)) == (None, "", None)


def test_conditions_reach_no_file(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    peek = f"EXISTS (SELECT * FROM read_csv('{tmp_path}/secret.csv'))"
    with pytest.raises(BundleError, match="'deli'"):
        router(routing=[{**ROUTING[0], "candidates": peek}])
    assert chosen(situation(user=NORTH), routing=[{**ROUTING[3], "asked": peek}])[0] is None


def test_a_shopper_the_bundle_never_saw_routes_by_what_the_caller_says():
    group = [{**ROUTING[3], "asked": "users.region = 'north'"}]
    users = pl.DataFrame({"user_id": ["anna"], "region": ["north"]})
    assert router(routing=group, users=users).resolve("auto", situation(user={"region": "north"})).segment == "north"


def test_every_item_allowed_is_not_inside_a_domain():
    everything = Situation(SUMMER, np.ones(ITEMS.height, bool), {}, 400.0, 50)
    assert router().resolve("auto", everything) == (None, "", None)


@pytest.mark.parametrize("change", [
    {"audiences": []}, {"decision": "refused"}, {"by": "context.store"}, {"kind": "family"}, {"audiences": ["many"]},
    {"name": "a/../b"}, {"by": "events.price", "kind": "family"}])
def test_routes_that_contradict_themselves_are_refused(change):
    with pytest.raises(ValidationError):
        Route(**{**ROUTING[0], **change})


def test_requests_from_many_threads_are_answered_alike():
    shared, asked = router(), [situation(user=NORTH), situation(allowed=["Deli"]), situation(at=EASTER)] * 50
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda given: shared.resolve("auto", given).segment, asked))
    assert found == ["north", "deli", "easter"] * 50
