"""Attributes of a catalogue, read by a task that was learned from marked titles: what the shop gives stands."""

import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.schema import CLEAN_ITEMS, ITEM_ATTRIBUTES
from recsys_core.spans.spans import fit_spans
from recsys_core.tasks.item_attributes import extract_attributes, spell_alike
from tests.tasks.planted import NOUNS, PlantedEncoder

MATERIALS = ["steel", "oak", "glass", "clay"]
PROVEN = {"proven": True, "kind": "spans"}


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """A function from a task's name and its attribute to a folder with it: the first word of a title is the value."""
    monkeypatch.setattr("recsys_core.student.OnnxEncoder", PlantedEncoder)

    def made(name: str, attribute: str):
        texts = [f"{material} {noun}" for material in MATERIALS for noun in NOUNS]
        spans = [[(attribute, text.split()[0])] for text in texts]
        fit_spans(PlantedEncoder(), texts, spans, [None] * len(texts), task=name).save(tmp_path / name)
        return tmp_path

    return made


def catalogue(titles: dict[str, str], **columns: list) -> pl.DataFrame:
    items = pl.DataFrame([{**dict.fromkeys(CLEAN_ITEMS), "item_id": item, "title": title, "text": title}
                          for item, title in titles.items()], schema=CLEAN_ITEMS)
    return items.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def told(table: pl.DataFrame) -> list[tuple]:
    assert table.schema == pl.Schema(ITEM_ATTRIBUTES)
    return table.select("item_id", "attribute", "value").rows()


def test_values_are_read_with_the_task_that_read_them(learned, tmp_path):
    folder = learned("stuff", "material")
    items = catalogue({"a": "steel mug", "b": "Oak lamp", "c": "oak rug"})
    table = extract_attributes(folder, {"stuff": PROVEN}, tmp_path, items)
    assert told(table) == [("a", "material", "steel"), ("b", "material", "Oak"), ("c", "material", "Oak")]
    assert set(table["task"]) == {"stuff"} and set(table["task_hash"]) == {folder_hash(folder / "stuff")}


def test_what_the_shop_gives_is_never_replaced_and_lends_its_spelling(learned, tmp_path):
    items = catalogue({"a": "steel mug", "b": "oak lamp", "c": "oak rug"}, Material=["STEEL", "OAK", None])
    table = extract_attributes(learned("stuff", "material"), {"stuff": PROVEN}, tmp_path, items)
    assert told(table) == [("c", "Material", "OAK")]


@pytest.mark.parametrize("attribute", ["category", "Title", "price", "stock"])
def test_columns_that_mean_more_than_a_value_stay_as_they_are(learned, tmp_path, attribute, caplog):
    items = catalogue({"a": "steel mug"}, stock=[None]).with_columns(pl.col("stock").cast(pl.Int64))
    assert extract_attributes(learned("stuff", attribute), {"stuff": PROVEN}, tmp_path, items).is_empty()
    assert "makes no column" in caplog.text


def test_of_two_tasks_the_first_by_name_answers(learned, tmp_path):
    learned("b", "material")
    table = extract_attributes(learned("a", "material"), {"b": PROVEN, "a": PROVEN}, tmp_path, catalogue({"a": "steel mug"}))
    assert table["task"].to_list() == ["a"]


def test_refused_tasks_and_other_kinds_read_nothing_and_open_no_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_core.student.OnnxEncoder", None)
    about = {"stuff": {"proven": False, "kind": "spans"}, "want": {"proven": True, "kind": "classes"}, "odd": {"proven": False}}
    assert told(extract_attributes(tmp_path, about, tmp_path, catalogue({"a": "steel mug"}))) == []


def test_texts_that_items_share_are_read_once(learned, tmp_path, monkeypatch):
    folder, asked = learned("stuff", "material"), []
    monkeypatch.setattr("recsys_core.spans.span_adapter.SpanAdapter.extract",
                        lambda _, __, texts, ___: [asked.append(text) or {"material": "steel"} for text in texts])
    table = extract_attributes(folder, {"stuff": PROVEN}, tmp_path, catalogue(dict.fromkeys("abc", "steel mug")))
    assert table.height == 3 and asked == ["steel mug"]


def test_amounts_are_spelled_as_amounts_only_where_the_value_is_nothing_else():
    assert spell_alike(["12 Ounces", "10 fl. oz", "Pack of 6", "12 oz bag", "2-Pack"], []) == [
        "12 oz", "10 fl oz", "6 pack", "12 oz bag", "2 pack"]
    assert spell_alike(["12 ounce", "12oz"], ["12 OZ"]) == ["12 OZ", "12 OZ"]
