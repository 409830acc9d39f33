"""What a text claims is in the item's data, or it is named: one planted lie of each kind, and true texts in many forms."""

import pytest

from recsys_core.wording.facts import Facts
from recsys_core.wording.grounding import content_words, find_faults
from tests.wording.planted import facts_of


@pytest.mark.parametrize("text", [
    "Steel mug by Alder, 12 oz, in grey.", "A grey steel mug of the brand Alder. Price: 12.50.", "Alder's steel mugs.",
    "This Alder brand mug costs 12.5 and is found under Kitchen.", "THE STEEL MUG, 12 OUNCES.", "Mug (0.75 lb).",
    "Keeps tea warm.", "The brand is Alder.", "It is in the Kitchen department.", "It is of the category Mugs.",
    "This category.", "It is sold for $12.50.", ""])
def test_true_texts_hold(text):
    assert find_faults(text, facts_of("m1")) == []


@pytest.mark.parametrize(("text", "fault"), [
    ("Steel mug, 16 oz.", "16 oz"), ("Steel mug, 12 ml.", "12 ml"), ("Steel mug, 12 fl oz.", "12 fl oz"),
    ("12 steel mugs of 3.", "3"),
    ("Two steel mugs.", "2"), ("A pack of eleven.", "11 pack"), ("A dozen mugs of 11 oz.", "11 oz"),
    ("Steel mug by Birch.", "Birch"), ("A mug of the Alder category.", "alder category"), ("A mug in Alder.", "in alder"),
    ("A mug of the category Alder.", "category alder"),
    ("Steel mug by Kitchen.", "by Kitchen"), ("Steel mug of the brand Kitchen.", "brand"), ("Kitchen brand steel mug.", "brand"),
    ("The best steel mug.", "best"), ("A new steel mug.", "new"), ("An award-winning mug.", "award"),
    ("Vegan steel mug.", "Vegan"),
    ("Organic steel mug.", "Organic"), ("BPA-free steel mug.", "free"), ("A blue steel mug.", "blue"), ("A glass mug.", "glass"),
    ("Steel mug from Germany.", "Germany"), ("Steel mug from warm Alder.", "from warm"), ("A healthy mug.", "healthy"),
    ("Price: 11.50.", "Price 11.50"), ("It costs 12.", "costs 12"),
    ("Only $2.", "$ 2"), ("Price: 12.50, for 12 oz. Price: 9.", "Price 9"),
    ("Steel mug 鋼", "鋼"), ("Стальная кружка", "кружка"), ("Not dishwasher safe.", "Not"), ("Made in grey steel.", "Made"),
    ("Steel mug, 1/2 oz.", "0.5 oz"), ("Mug 1.2.3", "1.2.3"), ("Steel mug with 1,200 reviews", "1,200")])
def test_lies_are_named(text, fault):
    assert any(fault.casefold() in one.casefold() for one in find_faults(text, facts_of("m1")))


def test_what_is_free_of_something_stays_free_of_that_alone():
    item = facts_of("o1")
    assert find_faults("Gluten-free oat biscuits with no added sugar, 16 oz.", item) == []
    assert "free" in find_faults("Sugar-free oat biscuits.", item)
    assert "gluten" in find_faults("Oat biscuits with gluten.", item)
    assert "no" in find_faults("Oat biscuits with no gluten and no sugar.", item)


def test_an_item_without_price_or_brand_has_none():
    item = facts_of("b1")
    assert find_faults("A blue linen shirt.", item) == []
    assert find_faults("A blue linen shirt. Price: 0.", item) == ["0", "Price 0"]
    assert find_faults("A shirt of the brand Blue.", item) == ["brand blue"]
    assert find_faults("A shirt by Linen.", item) == ["by linen"]


def test_other_languages_have_their_own_neutral_words():
    item = facts_of("m1")
    assert find_faults("Steel mug von Alder. Sie finden es unter Kitchen. Preis: 12,50.", item, "de") == []
    assert "Sie" in find_faults("Steel mug. Sie finden es unter Kitchen.", item, "en")
    assert "beste" in find_faults("Der beste mug von Alder.", item, "de") and "Birke" in find_faults("Mug von Birke.", item, "de")
    assert find_faults("A mug.", item, "xx") == ["A"]


def test_scripts_without_spaces_are_covered_piece_by_piece():
    item = facts_of("木")
    assert find_faults("木製おもちゃ，品牌：白木。分类：玩具。价格：88。", item, "zh") == []
    assert find_faults("红色木製おもちゃ", item, "zh") == ["红色"]
    assert find_faults("木製おもちゃ，品牌：黑木。", item, "zh") == ["黑木"]
    assert find_faults("价格：66。", item, "zh") == ["66", "价格 66"]


def test_every_fault_is_told_once_and_nothing_breaks():
    assert find_faults("best best best", facts_of("m1")) == ["best"]
    assert find_faults("½ 1/0 ⅓ … ‮", Facts("x", "")) != []
    assert find_faults("a" * 100_000, Facts("x", "a")) == ["a" * 100_000]


def test_neutral_words_are_no_content():
    assert content_words("This is a Steel mug, found under Kitchen", "en") == ["steel", "mug", "kitchen"]
