"""Rows become tasks of one kind each; what says nothing is set aside with its reason."""

import polars as pl
import pytest

from recsys_core.errors import DataError, RequestError
from recsys_core.tasks.labels import clean_text, read_tasks
from tests.tasks.planted import class_rows, match_rows, no_items, span_rows, table

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "text": ["Red mug. Alder", "Oak bench. Birch"], "title": ["Red mug", "Oak bench"],
                      "brand": ["Alder", "Birch"], "category": ["Kitchen", None]})


def only(*rows: dict, items: pl.DataFrame = ITEMS):
    return read_tasks(table(("t", list(rows))), items)


def test_the_columns_that_are_filled_tell_the_kind():
    found = read_tasks(table(("c", class_rows()), ("s", span_rows()), ("m", match_rows())), no_items()).tasks
    assert {name: task.kind for name, task in found.items()} == {"c": "classes", "s": "spans", "m": "match"}
    assert {name: len(task.examples) for name, task in found.items()} == {"c": 72, "s": 36, "m": 192}


def test_an_item_stands_for_its_text_and_its_fields():
    [task] = only({"item_id": "a", "label": "cup"}, {"item_id": " b ", "label": "seat"}).tasks.values()
    assert [one.text for one in task.examples] == ["Red mug. Alder", "Oak bench. Birch"]
    assert task.examples[0].product.category == "Kitchen" and task.examples[1].product.brand == "Birch"


def test_a_query_alone_is_a_text_and_with_an_item_a_pair():
    assert only({"query": "red mugs", "label": "cup"}).tasks["t"].examples[0].text == "red mugs"
    [pair] = only({"query": "red mugs", "item_id": "a", "label": "0.5"}).tasks["t"].examples
    assert (pair.query, pair.text, pair.grade) == ("red mugs", "Red mug. Alder", 0.5)


def test_rows_of_one_text_are_one_example_with_all_its_labels():
    [both] = only({"text": "refund and cancel", "label": "refund"}, {"text": " refund and  cancel", "label": "cancel"},
                  {"text": "refund and cancel", "label": "refund"}).tasks["t"].examples
    assert both.labels == ("refund", "cancel")
    [spans] = only({"text": "red oak", "label": "colour", "span": "red"},
                   {"text": "red oak", "label": "material", "span": "oak"}).tasks["t"].examples
    assert spans.spans == (("colour", "red"), ("material", "oak"))


def test_what_is_tested_by_is_never_learned_from():
    task = only({"text": "one", "label": "a", "split": "Train"}, {"text": "two", "label": "a", "split": "test"},
                {"text": "two", "label": "b", "split": "train"}, {"text": "three", "label": "b"}).tasks["t"]
    assert [one.text for one in task.train] == ["one", "three"] and [one.text for one in task.test] == ["two"]


def test_a_query_is_tested_by_with_all_its_items():
    pairs = [{"query": query, "text": text, "label": "1", "split": split} for query, text, split in (
        ("mug", "red mug", "test"), ("mug", "oak bench", "train"), ("bench", "oak bench", "train"))]
    task = only(*pairs).tasks["t"]
    assert [one.query for one in task.test] == ["mug", "mug"] and [one.query for one in task.train] == ["bench"]


@pytest.mark.parametrize(("row", "reason"), [
    ({"text": "a", "label": ""}, "label is empty"),
    ({"label": "x"}, "neither text nor item_id nor query"),
    ({"item_id": "gone", "label": "x"}, "'gone' is no item of the shop"),
    ({"text": "  \x00 ", "label": "x"}, "text is empty"),
    ({"text": "a" * 10_000_000, "label": "x"}, "10,000,000 characters"),
    ({"text": "a mug", "label": "material", "span": "oak"}, "'oak' is not in the text"),
    ({"query": "mug", "text": "a mug", "label": "exact"}, "'exact' is no number"),
    ({"query": "mug", "text": "a mug", "label": "nan"}, "'nan' is no number"),
    ({"text": "a mug", "label": "x", "split": "dev"}, "'dev' is neither train nor test"),
])
def test_a_row_that_says_nothing_is_set_aside_with_its_reason(row, reason):
    found = only({"text": "fine", "label": "x"}, row)
    assert [one.text for task in found.tasks.values() for one in task.examples] == ["fine"]
    assert found.aside["row"].to_list() == [1] and reason in found.aside["reason"][0]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, None])
def test_a_name_that_is_no_folder_is_no_task(name):
    found = read_tasks(table((name, [{"text": "a", "label": "b"}])), no_items())
    assert found.tasks == {} and "no name of a task" in found.aside["reason"][0]


def test_a_task_of_several_kinds_is_refused_and_others_are_read():
    mixed = [{"text": "a mug", "label": "cup"}, {"text": "oak mug", "label": "material", "span": "oak"}]
    found = read_tasks(table(("mixed", mixed), ("fine", class_rows(2))), no_items())
    assert list(found.tasks) == ["fine"] and "several kinds (classes, spans)" in found.faults["mixed"]


def test_other_columns_are_refused():
    with pytest.raises(DataError, match="'span'"):
        read_tasks(table(("t", [])).drop("span"), no_items())


@pytest.mark.parametrize(("text", "clean"), [
    (" <b>Red</b>&nbsp;mug\x00\x07", "Red mug"), ("\u202eevil\u202c", "evil"), ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
    ("👍🏽 mug", "👍🏽 mug"), ("'; DROP TABLE items; --", "'; DROP TABLE items; --"), 
    ("<script>alert(1)</script>mug", "alert(1) mug"),
    ("\u0645\u0631\u062d\u0628\u0627", "\u0645\u0631\u062d\u0628\u0627"), ("half \ud800 pair", "half ? pair")])
def test_odd_texts_come_out_clean(text, clean):
    assert clean_text(text, "text") == clean


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b", "<br>", "a" * 20_001, None, 7, b"mug"])
def test_no_text_is_refused(text):
    with pytest.raises(RequestError, match="query"):
        clean_text(text, "query")
