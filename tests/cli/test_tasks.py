"""`recsys adapt`, `evaluate --task` and `label-next` over the tiny bundle, whose encoder knows planted synonyms."""

import json
import shutil

import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.cli.main import main
from recsys_core.serving import Bundle
from recsys_core.serving.verification import verify_bundle
from recsys_core.signatures import PUBLIC_KEY, own_key
from tests.serving.tiny import use_word_encoder
from tests.tasks.planted import CONCEPTS, PlantedEncoder, class_rows, match_rows, said, span_rows


@pytest.fixture(autouse=True)
def planted_encoder(monkeypatch, tmp_path):
    use_word_encoder(monkeypatch)
    monkeypatch.setattr("recsys_core.student.OnnxEncoder", PlantedEncoder)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RECSYS_SIGNING_KEY", raising=False)
    monkeypatch.delenv("RECSYS_TRUSTED_KEY", raising=False)


@pytest.fixture
def place(bundle_folder, tmp_path):
    """A bundle without tasks of another encoder, and where labels lie."""
    from recsys_core.deployment.manifest import write_manifest

    folder = shutil.copytree(bundle_folder, tmp_path / "bundle")
    about = json.loads((folder / "manifest.json").read_text())
    shutil.rmtree(folder / "tasks")
    write_manifest(folder, {**{name: about[name] for name in about.keys() - {"files", "format", "versions"}}, "tasks": {}})
    return tmp_path


def labels(place, rows, name="labels.csv"):
    frame = pl.DataFrame(rows)
    frame.write_csv(place / name) if name.endswith("csv") else frame.write_parquet(place / name)
    return str(place / name)


def run(place, *words) -> int:
    return main([*words, "--bundle", str(place / "bundle")])


def test_a_proven_task_makes_a_bundle_that_answers(place, capsys):
    rows = [{**row, "split": "test" if at % 6 == 0 else "train"} for at, row in enumerate(class_rows())]
    before = folder_hash(place / "bundle")
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, rows), "--out", str(place / "new")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["proven"] and told["test"]["accuracy"] > 0.9 and told["examples"] == 60
    assert folder_hash(place / "bundle") == before
    found = Bundle.load(place / "new").classify("want", [f"{said('buy', 50 + n)} mug now" for n in range(10)])
    assert {label for one in found for label, _ in one} == {"buy"}
    assert main(["evaluate", "--task", "want", "--labels", str(place / "labels.csv"), "--bundle", str(place / "new")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["split"] == "test" and again["examples"] == 12 and again["accuracy"] == told["test"]["accuracy"]


@pytest.mark.parametrize(("rows", "kind"), [(span_rows, "spans"), (match_rows, "match")])
def test_every_kind_joins_the_bundle_in_place(place, capsys, rows, kind):
    assert run(place, "adapt", "--task", "t", "--labels", labels(place, rows(), "l.parquet")) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == kind
    bundle = Bundle.load(place / "bundle")
    if kind == "spans":
        assert bundle.extract([f"mug made of {said('material', 99)} for the rug"]) == [{"material": said("material", 99)}]
    else:
        same, other = bundle.match(f"{said('mug', 50)} 19oz", texts=[f"{said('mug', 51)} 19oz", f"{said('rug', 51)} 19oz"])
        assert same > 0.7 > 0.3 > other


def test_a_refused_task_ends_with_1_and_changes_nothing(place, capsys):
    before = folder_hash(place / "bundle")
    out = ["--out", str(place / "new")]
    assert run(place, "adapt", "--task", "noise", "--labels", labels(place, class_rows(shuffled=True)), *out) == 1
    said_ = capsys.readouterr().err
    assert "no bundle was written" in said_ and "not proven better than" in said_
    assert folder_hash(place / "bundle") == before and not (place / "new").exists()


def test_items_are_classified_by_their_text(place, capsys, monkeypatch):
    monkeypatch.setattr("tests.tasks.planted.CONCEPTS", {**{word: "kitchen" for word in ("mug", "teapot", "board", "bowl")},
                        **{word: "garden" for word in ("planter", "lantern", "bench", "can", "pot")},
                        **{word: "toys" for word in ("train", "dinosaur", "puzzle", "car", "house")}})
    rows = [{"item_id": f"{letter}{n}", "text": "", "label": name} for letter, name in (("k", "1"), ("g", "2"), ("t", "3"))
            for n in range(5)]
    assert run(place, "adapt", "--task", "department", "--labels", labels(place, rows)) == 0, capsys.readouterr().err
    bundle = Bundle.load(place / "bundle")
    assert [label for label, _ in bundle.classify("department", ["A tin lantern"])[0]] == ["2"]


def test_rows_set_aside_are_told(place, capsys, caplog):
    rows = [*class_rows(), {"text": " ", "label": "buy"}]
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, rows)) == 0
    assert "1 of the rows are set aside, e.g. row 72: " in caplog.text


def test_a_signed_bundle_is_signed_again_with_the_home_s_key(place, monkeypatch):
    key = own_key(place / "home" / "keys")
    assert run(place, "sign", "--key", str(key)) == 0
    monkeypatch.setenv("RECSYS_TRUSTED_KEY", str(place / "home" / "keys" / PUBLIC_KEY))
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, class_rows())) == 0
    verify_bundle(place / "bundle", place / "home" / "keys" / PUBLIC_KEY)


def test_where_a_key_is_trusted_no_bundle_is_written_that_it_did_not_sign(place, capsys, monkeypatch):
    key, trusted = own_key(place / "theirs"), place / "theirs" / PUBLIC_KEY
    assert run(place, "sign", "--key", str(key)) == 0
    before = folder_hash(place / "bundle")
    monkeypatch.setenv("RECSYS_TRUSTED_KEY", str(trusted))
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, class_rows())) == 1
    assert "no key to sign" in capsys.readouterr().err and folder_hash(place / "bundle") == before
    monkeypatch.setenv("RECSYS_SIGNING_KEY", str(own_key(place / "mine")))
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, class_rows())) == 1
    assert "another key made it" in capsys.readouterr().err and folder_hash(place / "bundle") == before


@pytest.mark.parametrize(("rows", "said_"), [
    ([{"text": "a", "label": "b", "task": "other"}], "no rows of task 'want'"), ([{"text": "a"}], "column 'label' is missing"),
    ([{"text": " ", "label": "b"}], "row 0"),
    ([{"text": "a b", "label": "c", "span": ""}, {"text": "a b", "label": "c", "span": "b"}], "several kinds")])
def test_labels_that_cannot_be_used_are_one_line(place, capsys, rows, said_):
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, rows)) == 1
    error = capsys.readouterr().err
    assert said_ in error and error.count("\n") == 1


def test_a_missing_file_or_task_is_one_line(place, capsys):
    assert run(place, "adapt", "--task", "want", "--labels", str(place / "gone.csv")) == 1
    assert "gone.csv" in capsys.readouterr().err
    assert run(place, "evaluate", "--task", "want", "--labels", labels(place, class_rows())) == 1
    assert "no proven task 'want'" in capsys.readouterr().err
    assert run(place, "evaluate") == 1 and "--test nor --task" in capsys.readouterr().err


def test_label_next_prints_the_texts_that_would_help_most(place, capsys):
    labelled = [row for row in class_rows() if row["label"] != "track"] + class_rows(60)[-8:]
    assert run(place, "adapt", "--task", "want", "--labels", labels(place, labelled)) == 0
    capsys.readouterr()
    sure, unsure = [f"{said('buy', n)} mug now" for n in range(10)], ["completely other words", "strange things"]
    (place / "pool.txt").write_text("\n".join([*sure, "", *unsure]))
    assert run(place, "label-next", "--task", "want", "--texts", str(place / "pool.txt"), "-n", "2") == 0
    found = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 2 and set(found) & set(unsure)


def test_label_next_begins_before_anything_is_labelled(place, capsys):
    pool = [f"{said(want, n)} now" for want in ("buy", "track") for n in range(20)]
    pl.DataFrame({"text": pool}).write_parquet(place / "pool.parquet")
    assert run(place, "label-next", "--task", "new", "--texts", str(place / "pool.parquet"), "-n", "2") == 0
    found = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert {CONCEPTS[text.split()[0]] for text in found} == {"buy", "track"}
    assert run(place, "label-next", "--task", "new", "--texts", str(place / "pool.parquet"), "-n", "0") == 1
