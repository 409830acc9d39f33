"""`recsys describe` and `recsys assist` over the tiny bundle."""

import json

import pytest

from recsys_core.cli.main import main
from recsys_core.wording.written import read_written, write_written
from tests.serving.tiny import use_word_encoder


@pytest.fixture
def run(monkeypatch, tmp_path, bundle_folder, capsys):
    use_word_encoder(monkeypatch)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))

    def ask(*words):
        status = main([*words, "--bundle", str(bundle_folder)])
        return status, capsys.readouterr()

    return ask


def test_an_item_is_described_in_a_language(run):
    assert run("describe", "k3", "--language", "de")[1].out.startswith("Bamboo board von Alder.")


def test_what_was_written_beforehand_is_told(run, tmp_path):
    write_written(tmp_path, "en", [("k3", "This Bamboo board is sold by Alder."), ("k0", "The best mug.")])
    assert run("describe", "k3")[1].out == "This Bamboo board is sold by Alder.\n"
    assert run("describe", "k0")[1].out.startswith("Steel mug by Alder.")


def test_descriptions_of_many_are_written_and_those_that_hold_are_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_core.wording.load_model", lambda name, cache: (name, cache), raising=False)
    asked = []

    def write(items, model, tokenizer, config):
        asked.append((len(items), model))
        yield items[0], f"{items[0].title} is sold by Alder."

    monkeypatch.setattr("recsys_core.wording.write_texts", write, raising=False)
    write_written(tmp_path, "en", [("k3", "This Bamboo board is sold by Alder."), ("k0", "The best mug."), ("gone", "A mug.")])
    status, told = run("describe", "--all", "--most", "3", "--model", "some-model")
    assert status == 0, told.err
    assert asked == [(3, "some-model")]
    assert {name: json.loads(told.out)[name] for name in ("written", "left_to_the_template", "kept")} == {
        "written": 1, "left_to_the_template": 2, "kept": 1}
    # t0 is the most popular item.
    assert read_written(tmp_path, "en") == {"k3": "This Bamboo board is sold by Alder.", "t0": "Wooden train is sold by Alder."}


def test_the_assistant_answers_with_a_context(run, tmp_path):
    (tmp_path / "context.json").write_text(json.dumps({"orders": [{"order_id": "A-1", "status": "sent"}]}))
    told = json.loads(run("assist", "where is my order of a mug", "--context", str(tmp_path / "context.json"))[1].out)
    assert told["intent"] == "delivery" and told["answer"] == "Order A-1: sent."


@pytest.mark.parametrize(("words", "why"), [
    (["describe"], "neither an item nor --all"), (["describe", "k0", "--all"], "both"), (["describe", "gone"], "unknown"),
    (["describe", "k0", "--language", "xx"], "no templates"), (["describe", "--all", "--most", "0"], "less than 1"),
    (["describe", "--all", "--model", "/no/model"], "/no/model"), (["assist", " "], "empty")])
def test_what_makes_no_sense_is_one_line(run, words, why):
    status, told = run(*words)
    assert status == 1 and why in told.err and told.err.count("\n") == 1, told.err


def test_a_context_that_is_no_json_is_named(run, tmp_path):
    (tmp_path / "context.json").write_text("{")
    status, told = run("assist", "a mug", "--context", str(tmp_path / "context.json"))
    assert status == 1 and "is no JSON" in told.err


def test_a_broken_line_of_written_texts_costs_that_line(tmp_path):
    path = write_written(tmp_path, "en", [("k0", "A mug."), ("k1", "A pot.")])
    path.write_text(path.read_text() + "{\n[1]\n{\"item_id\": \"k2\"}\n")
    assert read_written(tmp_path, "en") == {"k0": "A mug.", "k1": "A pot."} and read_written(None, "en") == {}
