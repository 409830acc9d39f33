from collections import Counter

import numpy as np
import pytest

from recsys_core.answering.rules import RULES_FILE, Rules, read_rules, shop_rules
from recsys_core.errors import RequestError
from tests.serving.tiny import DEPARTMENTS

TOYS, DELI = {"department": "Toys"}, {"category": "Deli"}


def answered(bundle, rules: dict, k: int = 10, **given) -> list[str]:
    return [a.item_id for a in bundle.recommend(["k0"], k=k, rules=bundle.bind_rules(Rules(**rules)), **given)]


@pytest.mark.parametrize("rules", [
    {}, {"must_not": [{"name": "toys", "filters": TOYS}]}, {"caps": {"department": 2}},
    {"boosts": [{"name": "jam", "filters": DELI, "logits": 9}]},
    {"must": [{"name": "wood", "items": ["d3"], "among": 2}], "must_not": [{"name": "one", "items": ["g0"]}],
     "caps": {"department": 3}, "boosts": [{"name": "toys", "filters": TOYS, "logits": -2}]}])
@pytest.mark.parametrize("given", [{}, {"segment": "deli", "exclude_seen": True}, {"shelf": "window"}])
def test_a_batch_obeys_rules_as_single_lists_do(bundle, rules, given):
    bound, histories = bundle.bind_rules(Rules(**rules)), [["k0"], [], ["t0", "d1", "unknown"]]
    found, scores = bundle.recommend_batch(histories, k=8, rules=bound, **given)
    for row, history in enumerate(histories):
        single = bundle.recommend(history, k=8, rules=bound, **given)
        assert found[row].tolist() == [*(a.item_id for a in single), *[""] * (8 - len(single))]
        assert scores[row, :len(single)] == pytest.approx([a.score for a in single], abs=1e-5)
        assert np.isneginf(scores[row, len(single):]).all()
    if rules and "shelf" not in given:  # two items lie on it, which few rules are about
        assert found.tolist() != bundle.recommend_batch(histories, k=8, **given)[0].tolist()


def test_the_shop_s_rules_are_those_of_its_home_or_of_a_named_file(tmp_path):
    assert shop_rules(None) is None and shop_rules(tmp_path) is None
    (tmp_path / RULES_FILE).write_text("caps: {brand: 2}")
    (tmp_path / "other.yaml").write_text("caps: {brand: 3}")
    assert shop_rules(tmp_path).caps == {"brand": 2} and shop_rules(tmp_path, tmp_path / "other.yaml").caps == {"brand": 3}
    with pytest.raises(RequestError, match=r"gone\.yaml"):
        shop_rules(tmp_path, tmp_path / "gone.yaml")


def test_what_must_not_be_is_never_answered(bundle):
    rules = {"must_not": [{"name": "toys", "filters": TOYS}, {"name": "one", "items": ["g0", "gone"]}]}
    found = answered(bundle, rules, k=20)
    assert len(found) == 14 and not [item for item in found if item[0] == "t" or item == "g0"]
    assert answered(bundle, rules, k=20, filters=TOYS) == []
    searched = bundle.search("wooden train", rules=bundle.bind_rules(Rules(**rules)), k=20)
    assert len(searched) == 14 and "t0" not in [a.item_id for a in searched]


def test_a_cap_leaves_the_best_of_each_value(bundle):
    free = answered(bundle, {}, k=20)
    found = answered(bundle, {"caps": {"department": 2}}, k=20)
    counts = Counter(DEPARTMENTS[item[0]] for item in found)
    assert counts == dict.fromkeys(DEPARTMENTS.values(), 2)
    best = [item for at, item in enumerate(free) if sum(other[0] == item[0] for other in free[:at]) < 2]
    assert found == best
    assert answered(bundle, {"caps": {"brand": 3}}, k=20) == free[:3]


def test_what_must_be_is_among_the_first(bundle):
    free = answered(bundle, {})
    assert "d3" not in free[:2]
    rules = {"must": [{"name": "toy-wood", "items": ["d3"], "among": 2}]}
    found = bundle.recommend(["k0"], rules=bundle.bind_rules(Rules(**rules)), explain=True)
    assert [a.item_id for a in found][:2] == [free[0], "d3"] and len(found) == 10
    assert [a.item_id for a in found if a.item_id != "d3"] == [i for i in free if i != "d3"][:9]
    assert found[1].contributions[-1] == {"source": "rule", "name": "toy-wood", "value": 0.0}
    assert found[1].sentence.startswith("Placed by the shop (“toy-wood”)") and "Placed" not in found[0].sentence


def test_a_must_that_holds_already_changes_nothing_and_one_that_cannot_hold_is_left(bundle):
    free = answered(bundle, {})
    assert answered(bundle, {"must": [{"name": "first", "items": [free[0]], "among": 3}]}) == free
    assert answered(bundle, {"must": [{"name": "gone", "items": ["gone"]}]}) == free
    banned = {"must": [{"name": "a", "filters": DELI}], "must_not": [{"name": "b", "filters": DELI}]}
    assert not [item for item in answered(bundle, banned, k=20) if item[0] == "d"]


def test_must_and_cap_hold_together(bundle):
    rules = {"caps": {"department": 1}, "must": [{"name": "deli", "filters": DELI, "count": 2, "among": 1},
                                                 {"name": "olives", "items": ["d0"], "among": 3}]}
    found = answered(bundle, rules)
    assert found[0][0] == "d" and Counter(item[0] for item in found) == dict.fromkeys("kgtd", 1)


def test_several_musts_stand_where_they_are_due(bundle):
    rules = {"must": [{"name": "two", "filters": DELI, "count": 2, "among": 3}, {"name": "one", "items": ["k2"], "among": 3}]}
    found = answered(bundle, rules, k=5)
    assert set(found[:3]) >= {"k2"} and sum(item[0] == "d" for item in found[:3]) == 2 and len(set(found)) == 5


def test_a_boost_is_a_reason(bundle):
    rules = bundle.bind_rules(Rules(boosts=[{"name": "spring", "filters": DELI, "logits": 2.5}]))
    base = {a.item_id: a.score for a in bundle.recommend(["k0"], k=20)}
    for answer in bundle.recommend(["k0"], k=20, rules=rules, explain=True):
        lift = 2.5 if answer.item_id[0] == "d" else 0.0
        assert answer.score == pytest.approx(base[answer.item_id] + lift, abs=1e-5)
        assert answer.reasons.get("rule:spring", 0.0) == lift
        assert ({"source": "rule", "name": "spring", "value": 2.5} in answer.contributions) == bool(lift)
    plain, lifted = (bundle.search("glass teapot", k=20, rules=r) for r in (None, rules))
    scores = {a.item_id: a.score for a in plain}
    assert {a.item_id for a in lifted if a.score > scores[a.item_id] + 2} == {"d0", "d1", "d2", "d3", "d4"}


def test_a_rules_file_is_read_and_its_faults_are_named(bundle, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("caps: {department: 2}\nmust_not:\n  - {name: cheap, filters: {price: {max: 3}}}\n")
    assert read_rules(path).caps == {"department": 2}
    found = bundle.recommend(["k0"], k=20, rules=bundle.bind_rules(path))
    assert Counter(a.item_id[0] for a in found) == {"k": 1, "g": 2, "t": 2, "d": 2}  # of Kitchen one item costs more than 3
    for text, culprit in [("must_nt: []", "must_nt"), ("caps: {brand: 0}", "'brand' is below 1"), ("a: [", "cannot be read"),
                          ("must_not: [{name: x}]", "neither filters nor items"), ("- 1", "cannot be read"),
                          ("must_not: [{name: x, items: [a]}, {name: x, items: [b]}]", "taken twice"),
                          ("must: [{name: x, filters: {colour: red}}]", "no column 'colour'"),
                          ("boosts: [{name: x, filters: {price: red}, logits: 1}]", "is no number"),
                          ("caps: {colour: 1}", "no column 'colour'")]:
        path.write_text(text)
        with pytest.raises(RequestError, match=culprit):
            bundle.bind_rules(path)
    for wrong in (Rules(), {"caps": {}}):
        with pytest.raises(RequestError, match="bind_rules"):
            bundle.recommend(["k0"], rules=wrong)
