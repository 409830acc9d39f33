import pytest

from recsys_core.answering.sentences import LONGEST_TITLE, TEMPLATES, Facts, sentence

TITLES = {"a": "Steel mug", "b": "Oak bench", "c": "x" * 30 + " and a tail that is far too long", "d": "Fig jam"}


def facts(**given) -> Facts:
    verbs = {"a": "purchase", "b": "purchase", "c": "view", "d": "add_to_cart"}
    return Facts(**{"item_id": "z", "titles": TITLES, "verbs": verbs, "popular": True, "rising": True, "segment": "store 367"}
                 | given)


def lines(*given) -> list:
    return [{"source": source, "name": name, "value": value} for source, name, value in given]


@pytest.mark.parametrize(("contributions", "told"), [
    ([("item", "a", 2.0), ("item", "b", 1.0)], "Because you bought Steel mug and Oak bench."),
    ([("item", "a", 1.0), ("item", "b", 2.0), ("item", "d", 0.9)], "Because you bought Oak bench and Steel mug."),
    ([("item", "d", 1.0), ("item", "b", -3.0)], "Because you put Fig jam into your cart."),
    ([("popularity", "", 9.0), ("item", "a", 1.0)], "Because you bought Steel mug; popular with all shoppers."),
    ([("segment", "store", 1.0), ("promotion", "display", 0.9)], "More wanted than elsewhere in store 367; promoted now."),
    ([("word", "oak", 1.0), ("word", "table", 3.0), ("word", "for", -1.0)], "It matches “oak table”."),
    ([("promotion", "usually display", 1.0)], "The best of what is left."),
    ([("rule", "spring", 0.5)], "Placed by the shop (“spring”)."),
    ([("rule", "spring", 0.0), ("popularity", "", 1.0)], "Placed by the shop (“spring”); popular with all shoppers."),
    ([], "The best of what is left."),
])
def test_the_largest_contributions_are_told(contributions, told):
    assert sentence(lines(*contributions), facts(), "en") == told


def test_only_what_holds_is_claimed():
    found = lines(("popularity", "", 5.0), ("trend", "", 1.0))
    assert sentence(found, facts(), "en") == "Taken more often of late; popular with all shoppers."
    assert sentence(found, facts(popular=False, rising=False), "en") == "The best of what is left."
    assert sentence(lines(("item", "a", 0.09), ("popularity", "", 5.0)), facts(), "en") == "Popular with all shoppers."
    assert sentence(lines(("item", "z", 1.0)), facts(verbs={"z": "view"}, titles={"z": "Mug"}), "en") == "You viewed it before."
    assert sentence(lines(("segment", "request", 1.0)), facts(segment=""), "en") == "Close to what was just chosen."


def test_long_titles_are_cut():
    told = sentence(lines(("item", "c", 1.0)), facts(), "en")
    assert told == "Because you viewed " + "x" * 30 + " and a…." and len(told) < LONGEST_TITLE + 25


def test_every_language_has_every_phrase():
    assert {tuple(sorted(words)) for words in TEMPLATES.values()} == {tuple(sorted(TEMPLATES["en"]))}
    for language in TEMPLATES:
        assert "Steel mug" in sentence(lines(("item", "a", 1.0)), facts(), language)
