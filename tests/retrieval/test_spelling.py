import pytest

from tests.retrieval.test_lexical import index_of, scores

TITLES = ["leather sandals", "summer sandals", "walking sandals", "pocket planner", "pocket knife", "dog collar red",
          "dog bowl red", "dog bowl blue", "cat bowl", "fire stick remote", "fire stick cable"]


@pytest.mark.parametrize("typed", ["sandls", "sandalls", "sadnals", "sandils", "aandals", "andals", "ssandals", "asndals"])
def test_one_edit_anywhere_is_read_as_the_known_word(typed):
    index = index_of(TITLES)
    reading = index.read(f"leather {typed}")
    assert reading.text == "leather sandal"
    assert scores(index, f"leather {typed}").argmax() == 0


def test_the_other_words_decide_between_corrections():
    index = index_of([*TITLES, "steel bolt", "steel bolt long", "brass bolt"])
    assert index.read("dog bowt").text == "dog bowl" and index.read("steel bowt").text == "steel bolt"


def test_known_words_numbers_and_strange_words_stay():
    index = index_of(TITLES)
    for query in ("dog bowl", "x9 12pk", "qwertyuiop"):
        assert index.read(query).text == query and not index.read(query).corrected
    assert scores(index, "qwertyuiop") is None


def test_a_word_once_misspelt_in_the_catalogue_leads_to_the_usual_one():
    index = index_of([*[f"sandals {name}" for name in "abcdefghijklmnopqrstuvwxyz"] * 4, "sandels z"])
    found = scores(index, "sandels")
    assert (found > 0).all()


def test_words_written_together_are_taken_apart():
    index = index_of(TITLES)
    assert index.read("firestick").corrected == {"firestick": "fire stick"}
    assert set(scores(index, "firestick").argsort()[-2:]) == {9, 10}


def test_a_very_long_word_costs_nothing():
    assert index_of(TITLES).read("a" * 500).terms[0].missing == 1


def test_an_s_that_was_no_plural_is_read_with_its_word():
    index = index_of([*TITLES, "cheddar cheese", "goat cheese", "blue cheese", "rawhide chew"])
    assert index.read("chees").text == "cheese" and index.read("chees board").corrected == {"chee": "cheese"}


def test_chinese_words_are_found_in_any_order_and_what_straddles_two_words_is_not_missing():
    index = index_of(["白色陶瓷马克杯", "白色玻璃茶壶", "黑色铸铁炒锅", "usb-c数据线"])
    reading = index.read("马克杯白色")
    assert scores(index, "马克杯白色").argmax() == 0 and "杯白" not in [term.word for term in reading.terms]
    assert not any(term.missing for term in reading.terms)
    assert scores(index, "壶").argmax() == 1 and index.read("壶").vouched
    assert set(index.letters) == set("usbc")


def test_single_characters_of_a_strange_chinese_word_do_not_vouch_for_it():
    index = index_of(["白色陶瓷马克杯", "黑色铸铁炒锅"])
    assert scores(index, "炒股").argmax() == 1 and not index.read("炒股").vouched and index.read("炒锅").vouched
    assert [term.missing for term in index.read("鲸鱼").terms] == [1.0, 1.0]
