"""Descriptions tell an item's fields and nothing else, in every language."""

import pytest

from recsys_core.wording.grounding import find_faults
from recsys_core.wording.templates import DESCRIPTIONS, describe_item
from tests.wording.planted import ITEMS, facts_of


def test_fields_are_read_by_what_they_hold():
    facts = facts_of("m1")
    assert (facts.brand, facts.category, facts.price, facts.sizes) == ("Alder", ("Kitchen", "Mugs"), 12.5, ("12 oz",))
    assert facts.others == {"color": "Grey"} and facts_of("b1").price is None and facts_of("b1").brand == ""


@pytest.mark.parametrize(("language", "said"), [
    ("en", "Steel mug by Alder, 12 oz. You find it under Kitchen › Mugs. Color: Grey. Price: 12.50. Keeps tea warm."),
    ("de", "Steel mug von Alder, 12 oz. Sie finden es unter Kitchen › Mugs. Color: Grey. Preis: 12.50. Keeps tea warm."),
    ("zh", "Steel mug，品牌：Alder，规格：12 oz。分类：Kitchen › Mugs。Color：Grey。价格：12.50。Keeps tea warm.")])
def test_descriptions(language, said):
    assert describe_item(facts_of("m1"), language) == said


def test_what_the_item_lacks_is_not_told():
    assert describe_item(facts_of("b1"), "en") == "Blue linen shirt. You find it under Clothing › Shirts. Color: Blue."


@pytest.mark.parametrize("language", DESCRIPTIONS)
def test_every_template_is_grounded(language):
    for item in ITEMS["item_id"]:
        text = describe_item(facts_of(item), language)
        assert find_faults(text, facts_of(item), language) == [], text
