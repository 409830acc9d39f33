"""Similar items and profiles, with planted answers."""

import numpy as np
import pytest

from recsys_core.errors import RequestError
from tests.serving.tiny import TITLES


def test_what_its_shoppers_take_is_similar(bundle):
    found = bundle.similar("k0", k=20)
    assert found[0].item_id == "g0" and found.fallback is None
    assert "k0" not in [a.item_id for a in found] and len(found) == len(set(TITLES.values())) - 1
    for answer in found:
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-5)
        assert "popularity" not in answer.reasons


def test_items_of_one_text_are_one_answer(bundle):
    assert len({TITLES[a.item_id] for a in bundle.similar("t0", k=20)}) == len(bundle.similar("t0", k=20))
    assert not {"k1", "k2"} & {a.item_id for a in bundle.similar("k1", k=20)}
    assert sum(a.item_id in ("k1", "k2") for a in bundle.similar("t0", k=20)) == 1


def test_an_item_nobody_took_has_neighbours_by_text(bundle):
    found = bundle.similar("k1", k=20)
    assert len(found) == 18 and max(found[0].reasons, key=found[0].reasons.get) in ("text_last", "text_transitions")
    vectors = bundle.catalogue.item_vectors
    cosine = {item: float(vectors[row] @ vectors[bundle.catalogue.row_of["k1"]]) for item, row in bundle.catalogue.row_of.items()}
    if all(set(a.reasons) <= {"text_last"} for a in found):
        assert [a.item_id for a in found] == sorted((a.item_id for a in found), key=lambda item: -cosine[item])


def test_answers_of_one_relation(bundle):
    everything = bundle.similar("k0", k=20)
    assert {answer.relation for answer in everything} <= {"duplicate", "variant", "substitute", "complement", None}
    for relation in ("substitute", "complement"):
        assert [a.item_id for a in bundle.similar("k0", k=20, relation=relation)] == [
            a.item_id for a in everything if a.relation == relation]
    assert [a.item_id for a in bundle.similar("k1", relation="duplicate")] == ["k2"]
    assert bundle.similar("k0", relation="complement", k=1)[0].item_id == "g0"
    nothing = bundle.similar("d1", relation="duplicate")
    assert list(nothing) == [] and "no item is a duplicate" in nothing.fallback
    for wrong in ("twin", ["variant"], 7):
        with pytest.raises(RequestError, match="relation"):
            bundle.similar("k0", relation=wrong)


def test_an_unknown_item_is_said_to_be_unknown(bundle):
    assert list(bundle.similar("gone")) == [] and bundle.similar("gone").fallback == "item 'gone' is unknown"
    for wrong in ({}, ["k0"]):
        with pytest.raises(RequestError, match="item_id"):
            bundle.similar(wrong)


def test_a_profile_says_what_the_history_says(bundle):
    days = ["2024-03-01", "2024-03-03", "2024-03-03", "2024-03-09"]
    past = [{"item_id": item, "timestamp": f"{day}T12:00:00Z"} for item, day in zip(["k0", "k1", "d1", "k0"], days, strict=True)]
    found = bundle.profile(past)
    assert found["events"] == 4 and found["steps"] == 3 and found["repeat_share"] == 0.25
    assert found["days_between_steps"] == 4.0 and found["newest_day"] == "2024-03-09"
    assert found["categories"] == [{"value": "Kitchen", "share": 0.75}, {"value": "Deli", "share": 0.25}]
    prices = bundle.catalogue.items["price"].to_numpy()[[bundle.catalogue.row_of[i] for i in ("k0", "k1", "d1", "k0")]]
    assert found["price"]["quartiles"] == np.quantile(prices, [0.25, 0.5, 0.75]).tolist()
    assert found["price"]["catalogue_rank"] == pytest.approx(np.mean(np.arange(20) < np.median(prices)))


def test_a_profile_of_nobody_is_empty(bundle):
    assert bundle.profile(None) == {"events": 0, "steps": 0, "categories": [], "brands": [], "price": None,
                                    "days_between_steps": None, "repeat_share": 0.0, "newest_day": None}
    untimed = bundle.profile(["k0", "gone", "k0"])
    assert untimed["days_between_steps"] is None and untimed["newest_day"] is None and untimed["repeat_share"] == 0.5


def test_a_profile_of_a_known_shopper_needs_the_id_only(bundle):
    known = bundle.profile(user_id="u00")
    assert known == bundle.profile(bundle.known_history("u00")) and known["events"] > 0 and known["newest_day"] is not None
    assert bundle.profile([], user_id="u00")["events"] == 0 and bundle.profile(user_id="nobody")["events"] == 0


def test_facets_count_what_the_words_find_within_the_request(bundle):
    found = bundle.facets("teapot", ["department", "category", "price"])
    assert found["department"] == [{"value": "Kitchen", "count": 2}]
    assert found["category"] == [{"value": "Kitchen", "count": 2}, {"value": "Kitchen > teapot", "count": 2}]
    assert sum(one["count"] for one in found["price"]) >= 2
    assert bundle.facets("teapot", ["brand"], filters={"price": {"max": 1}})["brand"] == [{"value": "Alder", "count": 1}]
    for value in found["price"]:
        assert len(bundle.search("teapot", k=50, filters={"price": value["value"]})) >= value["count"]
    with pytest.raises(RequestError, match="colour"):
        bundle.facets("teapot", ["colour"])


def test_facets_of_a_query_without_a_known_word_count_the_nearest(bundle):
    assert sum(one["count"] for one in bundle.facets("qwertyuiop", ["department"])["department"]) == 20


def test_completions_are_the_catalogue_s_own_words(bundle):
    assert bundle.suggest("glass", 3) == ["Glass teapot"] and bundle.suggest("kit")[0] == "Kitchen"
    assert bundle.suggest("plsh") == ["Plush dinosaur"] and bundle.suggest("木製") == ["木製おもちゃ"]
    with pytest.raises(RequestError):
        bundle.suggest("")
