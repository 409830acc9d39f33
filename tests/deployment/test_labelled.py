"""Tasks in bundles: proven ones ship, one more joins a bundle that is there, and nothing is lost on the way."""

import shutil

import pytest

from recsys_core.artefacts import folder_hash, read_json, write_json
from recsys_core.deployment.bundle import write_bundle
from recsys_core.deployment.labelled import add_task, tell_tasks
from recsys_core.errors import AdapterError, BundleError
from recsys_core.serving import Bundle, verify_bundle
from recsys_core.signatures import PUBLIC_KEY, own_key
from recsys_core.spans.spans import fit_spans
from recsys_core.tasks.classes import fit_classes
from tests.serving.tiny import TITLES, WordEncoder, tiny_arguments, use_word_encoder

ABOUT = {"proven": True, "kind": "classes", "reason": "it pays", "examples": 8}


@pytest.fixture(autouse=True)
def word_encoder(monkeypatch):
    use_word_encoder(monkeypatch)


@pytest.fixture
def adapter(tmp_path):
    """A task of two rooms."""
    texts = ["steel mug", "oak mug", "red mug", "oak bench", "red bench", "zinc bench"]
    fit_classes(WordEncoder(), texts, ["kitchen"] * 3 + ["garden"] * 3, task="room").save(tmp_path / "room")
    return tmp_path / "room"


def test_proven_tasks_ship_and_refused_ones_are_told(bundle):
    assert sorted(path.name for path in (bundle.folder / "tasks").iterdir()) == ["attributes", "intent"]
    assert bundle.manifest["tasks"]["mood"]["reason"] == "words do as well"
    card = (bundle.folder / "README.md").read_text()
    assert "- mood (classes, 9 examples): refused: words do as well" in card and "intent (classes, 36 examples): proven" in card


def test_a_bundle_without_labels_has_no_tasks(tmp_path):
    write_bundle(tmp_path / "bundle", **{**tiny_arguments(tmp_path / "sources"), "tasks": None})
    assert Bundle.load(tmp_path / "bundle").tasks == {} and not (tmp_path / "bundle" / "tasks").exists()
    assert "None was learned." in (tmp_path / "bundle" / "README.md").read_text()


def test_a_task_of_another_encoder_does_not_ship(tmp_path):
    arguments = tiny_arguments(tmp_path / "sources")
    meta = read_json(arguments["tasks"] / "intent" / "task.json")
    write_json(arguments["tasks"] / "intent" / "task.json", {**meta, "lock": {**meta["lock"], "encoder": "x" * 64}})
    with pytest.raises(AdapterError, match="encoder"):
        write_bundle(tmp_path / "bundle", **arguments)
    assert not (tmp_path / "bundle").exists()


def test_a_student_without_its_transformer_answers_no_task(tmp_path):
    arguments = tiny_arguments(tmp_path / "sources")
    shutil.rmtree(arguments["student_folder"] / "onnx")
    with pytest.raises(BundleError, match="no transformer"):
        write_bundle(tmp_path / "bundle", **arguments)


def test_one_more_task_joins_a_copy_and_nothing_else_changes(bundle, adapter, tmp_path):
    before = folder_hash(bundle.folder)
    manifest = add_task(bundle.folder, tmp_path / "new", "room", adapter, ABOUT, None)
    new = Bundle.load(tmp_path / "new")
    assert [label for label, _ in new.classify("room", ["green bench"])[0]] == ["garden"]
    assert new.intent("where is my order") == bundle.intent("where is my order")
    assert new.recommend(["k0"]) == bundle.recommend(["k0"]) and folder_hash(bundle.folder) == before
    same = {name for name in manifest["files"] if not name.startswith("tasks/room") and name != "README.md"}
    assert {name: manifest["files"][name] for name in same} == {name: bundle.manifest["files"][name] for name in same}
    assert {**manifest, "tasks": 0, "files": 0} == {**bundle.manifest, "tasks": 0, "files": 0}
    assert "- room (classes, 8 examples): proven: it pays" in (tmp_path / "new" / "README.md").read_text()


def test_a_task_can_replace_itself_in_place(bundle_folder, adapter, tmp_path):
    copy = shutil.copytree(bundle_folder, tmp_path / "bundle")
    for examples in (8, 9):
        add_task(copy, copy, "room", adapter, {**ABOUT, "examples": examples}, None)
    assert Bundle.load(copy).tasks["room"]["examples"] == 9
    card = (copy / "README.md").read_text()
    assert card.count("- room") == card.count("## Labelled tasks") == 1 and "9 examples" in card


def test_a_new_task_of_spans_makes_its_columns_at_once(bundle_folder, tmp_path):
    titles = ["steel mug", "oak mug", "red mug", "oak bench", "red bench", "zinc bench"]
    spans = [[("thing", title.split()[1])] for title in titles]
    fit_spans(WordEncoder(), titles, spans, [None] * len(titles), task="things").save(tmp_path / "things")
    manifest = add_task(bundle_folder, tmp_path / "new", "things", tmp_path / "things", {**ABOUT, "kind": "spans"}, None)
    new = Bundle.load(tmp_path / "new")
    assert set(manifest["attributes"]) == {"material", "thing"}
    assert {answer.item_id for answer in new.recommend([], k=30, filters={"thing": "mug"})} == {
        item for item, title in TITLES.items() if title.endswith("mug")}
    assert new.attributes("k0")["material"] == Bundle.load(bundle_folder).attributes("k0")["material"]


def test_a_signature_is_made_again_or_dropped_with_a_warning(bundle_folder, adapter, tmp_path, caplog):
    key = own_key(tmp_path / "keys")
    add_task(bundle_folder, tmp_path / "signed", "room", adapter, ABOUT, key)
    verify_bundle(tmp_path / "signed", tmp_path / "keys" / PUBLIC_KEY)
    assert caplog.text == ""
    add_task(tmp_path / "signed", tmp_path / "unsigned", "room", adapter, ABOUT, None)
    verify_bundle(tmp_path / "unsigned")
    assert not (tmp_path / "unsigned" / "model.sig").exists() and "sign it again" in caplog.text


def test_a_changed_bundle_takes_no_task_and_stays(bundle_folder, adapter, tmp_path):
    copy = shutil.copytree(bundle_folder, tmp_path / "bundle")
    (copy / "README.md").write_text("changed")
    with pytest.raises(BundleError, match=r"README\.md"):
        add_task(copy, copy, "room", adapter, ABOUT, None)
    assert (copy / "README.md").read_text() == "changed"


def test_a_card_s_section_is_replaced_where_it_stands():
    card = "# shop\n\n## Labelled tasks\n\nNone was learned.\n\n## Limitations\n\n- some\n"
    told = tell_tasks(card, {"room": ABOUT, "mood": {"proven": False, "reason": "several\nkinds"}})
    assert told.startswith("# shop\n\n## Labelled tasks\n\n- mood (no kind, 0 examples): refused: several kinds\n- room")
    assert told.endswith("\n\n## Limitations\n\n- some\n") and tell_tasks(told, {}) == card
