import pytest

from recsys_core.retrieval.suggest import Phrases, gather_phrases


@pytest.fixture
def phrases() -> Phrases:
    return Phrases({"Glass teapot": 5, "Teapot": 2, "TEAPOT ": 1, "Tea towel": 9, "Crème brûlée": 1, "茶壺": 3})


def test_prefixes_of_any_word_complete_and_the_heaviest_come_first(phrases):
    assert phrases.complete("tea", 5) == ["Tea towel", "Glass teapot", "Teapot"]
    assert phrases.complete("TEA", 1) == ["Tea towel"] and phrases.complete("glass t", 5) == ["Glass teapot"]
    assert phrases.complete("creme b", 5) == ["Crème brûlée"] and phrases.complete("茶", 5) == ["茶壺"]


def test_one_wrong_letter_completes_where_nothing_else_does(phrases):
    assert phrases.complete("gkass", 5) == ["Glass teapot"] and phrases.complete("lass", 5) == ["Glass teapot"]
    assert phrases.complete("zzzz", 5) == [] and Phrases({}).complete("a", 5) == []


def test_levels_of_a_category_are_phrases_of_their_own():
    phrases = gather_phrases({"title": ["Mug", "Jug"], "category": ["Kitchen > Cups", "Kitchen > Jars"]}, [1, 3])
    assert phrases.complete("kit", 5) == ["Kitchen"] and phrases.complete("j", 5) == ["Jars", "Jug"]
