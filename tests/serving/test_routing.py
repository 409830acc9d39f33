import numpy as np
import polars as pl
import pytest

from recsys_core.serving.history import to_seconds
from recsys_core.serving.routing import Route, Router, Situation
from tests.serving.tiny import ROUTING, USERS, tiny_catalogue

EASTER, SUMMER = to_seconds("2024-03-28T12:00:00Z"), to_seconds("2024-07-01T12:00:00Z")
ITEMS = tiny_catalogue().items
NORTH = {"region": "north", "children": 2}


def router(order=(), routing=ROUTING, users=USERS) -> Router:
    return Router([Route(**r) for r in routing], order, ITEMS.drop("text"), users, "America/New_York")


def situation(at=SUMMER, allowed=None, user=None, first_days_ago=400.0, steps=50) -> Situation:
    if allowed is not None:
        allowed = ITEMS["department"].is_in(allowed).to_numpy()
    return Situation(at, allowed, user or {}, first_days_ago, steps)


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
    ({"first_days_ago": 3.0}, "new"),
    ({"first_days_ago": None, "steps": 2}, "new"),
    ({"first_days_ago": None, "steps": 3}, None),
    ({"at": EASTER, "user": NORTH}, "easter"),          # the smaller share is the more specific
    ({"at": EASTER, "user": NORTH, "first_days_ago": 1.0}, "new"),
])
def test_auto_takes_the_most_specific_that_fits(given, segment):
    assert router().resolve("auto", situation(**given)) == (segment, None)


def test_the_shops_order_comes_before_specificity():
    everything = situation(at=EASTER, user=NORTH, first_days_ago=1.0, allowed=["Deli"])
    assert router().resolve("auto", everything)[0] == "new"
    assert router(("north", "easter")).resolve("auto", everything)[0] == "north"


def test_scenes_end_on_the_shops_days_not_on_utc_ones():
    last_evening, next_morning = to_seconds("2024-04-02T03:00:00Z"), to_seconds("2024-04-02T05:00:00Z")
    assert router().resolve("easter", situation(at=last_evening)) == ("easter", None)
    segment, why = router().resolve("easter", situation(at=next_morning))
    assert segment is None and "ended on 2024-04-01" in why
    assert router().resolve("auto", situation(at=next_morning)) == (None, None)


def test_predicates_reach_no_file(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    peeking = {**ROUTING[0], "where": f"EXISTS (SELECT * FROM read_csv('{tmp_path}/secret.csv'))"}
    assert router(routing=[peeking]).resolve("auto", situation(allowed=["Deli"])) == (None, None)


def test_a_shopper_the_bundle_never_saw_routes_by_what_the_caller_says():
    group = [{**ROUTING[3], "where": "users.region = 'north'"}]
    users = pl.DataFrame({"user_id": ["anna"], "region": ["north"]})
    north = situation(user={"region": "north"})
    assert router(routing=group, users=users).resolve("auto", north)[0] == "north"


def test_unqualified_column_names_bind_too():
    domain = [{**ROUTING[0], "where": "department = 'Deli' AND price < 100"}]
    assert router(routing=domain).resolve("auto", situation(allowed=["Deli"]))[0] == "deli"


def test_every_item_allowed_is_not_inside_a_domain():
    everything = Situation(SUMMER, np.ones(ITEMS.height, bool), {}, 400.0, 50)
    assert router().resolve("auto", everything) == (None, None)
