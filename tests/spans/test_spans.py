"""Attributes of texts: planted grammars are learned from a few titles, and what comes back stands in the text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest

from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import AdapterError
from recsys_core.spans.spans import SpanAdapter, SpanConfig, fit_spans

BRANDS = ("Alder", "Birk & Sons", "Cedar's", "Dogwood", "Fir", "Hazel Home", "Juniper", "Linden", "Maple")
COLOURS, SIZES = ("red", "dark green", "blue", "sand", "off white"), ("500ml", "12 oz", "1/2 gal")


@dataclass
class WordVectors:
    """An encoder whose vectors depend on the text's bytes alone."""

    fingerprint: dict = field(default_factory=lambda: {"weights": "a", "tokenizer": "b"})
    dim: int = 8
    read: list[str] = field(default_factory=list)

    def encode(self, texts: list[str]) -> np.ndarray:
        self.read += texts
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:self.dim], np.uint8) / 255 - 0.5 for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self.dim)


def title(brand: str, colour: str, size: str) -> tuple[str, list[tuple[str, str]]]:
    return f"{brand} kettle, {colour}, {size} (boxed)", [("Brand", brand), ("Colour", colour), ("Size", size)]


def learn(encoder: WordVectors, rows: list[tuple[str, list[tuple[str, str]]]]) -> SpanAdapter:
    texts, spans = map(list, zip(*rows, strict=True))
    return fit_spans(encoder, texts, spans, ["kettles"] * len(rows), task="attributes")


@pytest.fixture(scope="module")
def encoder():
    return WordVectors()


@pytest.fixture(scope="module")
def shots():
    return [title(brand, COLOURS[at % 5], size) for at, brand in enumerate(BRANDS) for size in SIZES]


@pytest.fixture(scope="module")
def adapter(encoder, shots):
    return learn(encoder, shots)


def test_values_never_seen_are_found_by_their_place_and_form(encoder, adapter):
    text, found = title("Elm Works", "pink", "750ml")
    assert adapter.extract(encoder, [text], ["kettles"]) == [dict(found)]
    assert adapter.extract(encoder, [text]) == [dict(found)]
    assert adapter.extract(encoder, [text], ["a category without examples"]) == [dict(found)]


def test_values_are_answered_as_they_stand_in_the_text(encoder, adapter):
    assert adapter.extract(encoder, ["ALDER kettle,  Dark  Green, 12  OZ (boxed)"])[0] == {
        "Brand": "ALDER", "Colour": "Dark  Green", "Size": "12  OZ"}


def test_an_attribute_that_a_text_does_not_show_is_left_out(encoder, adapter):
    assert set(adapter.extract(encoder, ["Alder kettle, red (boxed)"])[0]) == {"Brand", "Colour"}
    assert adapter.extract(encoder, []) == []
    assert adapter.extract(encoder, ["", " \n "]) == [{}, {}]


def test_what_an_attribute_is_called_within_a_category(encoder):
    """The same words are a flavour of teas and a scent of soaps; only the category tells."""
    words = ("mint", "rose", "lemon", "vanilla")
    rows = [(f"fresh {word} {size}", [(name, word)], category) for word in words for size in ("small", "large")
            for category, name in (("teas", "Flavour"), ("soaps", "Scent"))]
    adapter = fit_spans(encoder, *map(list, zip(*rows, strict=True)), task="attributes")
    assert adapter.extract(encoder, ["fresh cherry small"] * 2, ["teas", "soaps"]) == [{"Flavour": "cherry"}, {"Scent": "cherry"}]


def test_a_category_with_few_examples_counts_for_the_level_above(encoder):
    rows = [(f"fresh {word} small", [(name, word)], f"{top} > {word}") for word in ("mint", "rose", "lemon", "vanilla", "lime")
            for top, name in (("Teas", "Flavour"), ("Soaps", "Scent"))]
    adapter = fit_spans(encoder, *map(list, zip(*rows, strict=True)), task="attributes")
    assert set(adapter.categories) == {"Teas", "Soaps"}
    found = adapter.extract(encoder, ["fresh cherry small"] * 3, ["Teas > a new one", "Soaps > mint > deeper", "Soaps"])
    assert found == [{"Flavour": "cherry"}, {"Scent": "cherry"}, {"Scent": "cherry"}]


def test_a_saved_adapter_answers_the_same(tmp_path, encoder, adapter):
    adapter.save(tmp_path / "attributes")
    loaded = SpanAdapter.load(tmp_path / "attributes", encoder)
    texts = [title("Elm", "lilac", "2 l")[0], "Cedar's pan red 12 oz"]
    assert loaded.extract(encoder, texts, ["kettles", None]) == adapter.extract(encoder, texts, ["kettles", None])
    assert {path.name for path in (tmp_path / "attributes").iterdir()} == {"task.json", "task.safetensors"}


@pytest.mark.parametrize(("file", "culprit"), [("weights", "encoder"), ("tokenizer", "tokenizer")])
def test_another_encoder_is_refused(tmp_path, adapter, file, culprit):
    adapter.save(tmp_path / "attributes")
    other = WordVectors(fingerprint={"weights": "a", "tokenizer": "b", file: "c"})
    with pytest.raises(AdapterError, match=culprit):
        SpanAdapter.load(tmp_path / "attributes", other)


@pytest.mark.parametrize("broken", [{"format": 99}, {"features": ["one"]}, {"values": [["no counts"]]}, {"attributes": []}])
def test_a_broken_file_is_refused(tmp_path, encoder, adapter, broken):
    folder = tmp_path / "attributes"
    adapter.save(folder)
    write_json(folder / "task.json", read_json(folder / "task.json") | broken)
    with pytest.raises(AdapterError, match="adapt the task again"):
        SpanAdapter.load(folder, encoder)


def test_values_that_do_not_occur_in_their_text_are_dropped_and_counted(encoder, shots):
    texts, spans = [text for text, _ in shots], [list(found) for _, found in shots]
    spans[0] += [("Colour", "mauve"), ("Material", "steel"), ("Size", "50")]  # 500 is another word
    adapter = fit_spans(encoder, texts, spans, [None] * len(texts), task="attributes")
    assert adapter.settings["values_not_in_their_text"] == 3
    assert "Material" not in adapter.extract(encoder, ["Alder kettle, steel, 12 oz (boxed)"])[0]


def test_only_new_words_are_read_by_the_encoder_and_only_once(shots, adapter):
    fresh = WordVectors()
    for _ in range(2):
        adapter.extract(fresh, ["Alder kettle, ultramarine, 12 oz (boxed)"])
    assert fresh.read == ["ultramarine"]


@pytest.mark.parametrize("text", [
    "علبة شاي أحمر 500ml", "קומקום אדום, 12 oz", "🫖 kettle 👩‍👩‍👧 red", "木製の赤い茶碗 500ml", "किताब लाल", "a\x00b\u202e red",
    "red " * 100_000, "x" * 1_000_000, "<b>red</b> '; DROP TABLE items"])
def test_any_text_is_read(encoder, adapter, text):
    for value in adapter.extract(encoder, [text])[0].values():
        assert value in text


def test_unsegmented_and_marked_scripts_are_learned(encoder):
    rows = [(f"{brand}木碗{colour}", [("品牌", brand), ("颜色", colour)])
            for brand in ("山水", "大地") for colour in ("红色", "蓝色", "绿色")]
    adapter = fit_spans(encoder, [text for text, _ in rows], [found for _, found in rows], [None] * 6, task="attributes")
    assert adapter.extract(encoder, ["大地木碗白色"]) == [{"品牌": "大地", "颜色": "白色"}]


def test_the_same_examples_give_the_same_adapter(encoder, shots, adapter):
    again = learn(encoder, shots)
    assert np.array_equal(again.chain.sparse, adapter.chain.sparse) and again.features == adapter.features


@pytest.mark.parametrize(("texts", "spans", "categories", "culprit"), [
    (["red"], [], [None], "1 texts, 0 lists"), (["red"], [[("Colour", "")]], [None], "row 0"), ([None], [[]], [None], "row 0"),
    (["red"], [[]], [None], "none of 0 values"), (["red"], [[("Colour", "blue")]], [None], "none of 1 values"),
    ([], [], [], "none of 0 values"), ([""], [[("Colour", "red")]], [None], "none of 1 values")])
def test_examples_without_sense_are_refused(encoder, texts, spans, categories, culprit):
    with pytest.raises(AdapterError, match=culprit):
        fit_spans(encoder, texts, spans, categories, task="attributes")


def test_as_many_categories_as_texts(encoder, adapter):
    with pytest.raises(AdapterError, match="2 texts and 1 categories"):
        adapter.extract(encoder, ["a", "b"], ["kettles"])


def test_one_example_is_enough_to_start(encoder):
    adapter = fit_spans(encoder, ["Alder kettle red"], [[("Colour", "red")]], [None], SpanConfig(seen_in=1), task="attributes")
    assert adapter.extract(encoder, ["Birk kettle red"]) == [{"Colour": "red"}]
