"""Few-shot classes: planted ones are found, doubt is said, files fit only the encoder they were made with."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsys_core.errors import AdapterError, RecsysError
from recsys_core.tasks.classes import ClassAdapter, ClassConfig, fit_classes
from tests.adaptation.planted import NOUNS, WORDS, word_vectors

TEXTS = [f"{size} {colour} {noun}" for nouns in NOUNS.values() for noun in nouns
         for size, colours in (("big", ("red", "blue", "green")), ("small", ("blue", "green", "red"))) for colour in colours]
ROOM = {noun: room for room, nouns in NOUNS.items() for noun in nouns}
TEXTS = [TEXTS[row] for row in np.random.default_rng(0).permutation(len(TEXTS))]
LABELS = [ROOM[text.split()[-1]] for text in TEXTS]
SHOTS = slice(0, len(TEXTS), 2)
CONFIG = ClassConfig()


class PlantedEncoder:
    """Sums of a vector per known word; an unknown word adds nothing."""

    dtype = "float32"

    def __init__(self, weights: str = "w" * 64) -> None:
        self.fingerprint = {"weights": weights, "tokenizer": "t" * 64, "pooling": "mean", "max_length": 64, "dim": 24}

    def encode(self, texts: list[str], progress: bool = False) -> np.ndarray:
        return np.concatenate([word_vectors([" ".join(known)]) if (known := [w for w in text.split() if w in WORDS])
                               else np.zeros((1, 24), np.float32) for text in texts])


class BlindEncoder(PlantedEncoder):
    """One vector for every text."""

    def encode(self, texts: list[str], progress: bool = False) -> np.ndarray:
        return np.full((len(texts), 24), 24**-0.5, np.float32)


ENCODER = PlantedEncoder()


def adapt(texts=None, labels=None, encoder=ENCODER, config=CONFIG) -> ClassAdapter:
    return fit_classes(encoder, texts or TEXTS[SHOTS], labels or LABELS[SHOTS], config, task="room")


def answers(adapter: ClassAdapter, texts, encoder=ENCODER) -> list[str]:
    return [adapter.labels[at] for at in adapter.probabilities(encoder, texts).argmax(axis=1)]


def named(adapter: ClassAdapter, texts, encoder=ENCODER) -> list[list[str]]:
    return [[label for label, _ in found] for found in adapter.predict(encoder, texts)]


def test_planted_classes_are_found_in_texts_never_seen():
    adapter = adapt()
    assert adapter.labels == tuple(sorted(NOUNS))
    assert answers(adapter, TEXTS[1::2]) == LABELS[1::2]
    sure = [(found[0], label) for found, label in zip(named(adapter, TEXTS[1::2]), LABELS[1::2], strict=True) if found]
    assert all(found == label for found, label in sure) and len(sure) > 0.8 * len(LABELS) / 2


def test_shuffled_labels_teach_nothing():
    shuffled = np.random.default_rng(0).permutation(LABELS).tolist()
    found = adapt(labels=shuffled[SHOTS])
    assert np.mean(np.array(answers(found, TEXTS[1::2])) == shuffled[1::2]) < 0.5
    assert found.settings["temperature"] < adapt().settings["temperature"]  # the left-out shots showed it


def test_probabilities_sum_to_one_and_doubt_is_said():
    torn = [f"{one} {two}" for one, two in zip(NOUNS["home"], NOUNS["dairy"], strict=True)]
    adapter = adapt()
    found = adapter.probabilities(ENCODER, [*TEXTS[1::2], *torn, "", "ununderstood"])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    clear, doubtful = found[:len(TEXTS) // 2].max(axis=1).min(), found[-len(torn) - 2:-2].max(axis=1).min()
    assert doubtful < clear
    careful = replace(adapter, settings=adapter.settings | {"unsure_below": (clear + doubtful) / 2, "unknown_below": -999})
    assert named(careful, TEXTS[1::2]) == [[label] for label in LABELS[1::2]]
    assert [] in named(careful, torn)


def test_texts_of_none_of_the_classes_are_mostly_refused():
    known = [row for row, label in enumerate(LABELS) if label != "kitchen"]
    adapter = adapt([TEXTS[row] for row in known[::2]], [LABELS[row] for row in known[::2]])
    foreign = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == "kitchen"]
    own = [TEXTS[row] for row in known[1::2]]
    assert adapter.unknown(ENCODER, foreign).mean() > 0.8 > 0.2 > adapter.unknown(ENCODER, own).mean()
    assert np.mean([not found for found in named(adapter, foreign)]) > 0.8


def test_a_text_may_have_several_classes():
    colours = [text.split()[1] for text in TEXTS]
    rows = range(0, len(TEXTS), 2)
    adapter = adapt([TEXTS[row] for row in rows for _ in range(2)],
                    [name for row in rows for name in (LABELS[row], colours[row])], config=ClassConfig(read_names=False))
    assert adapter.settings["several"] and adapter.settings["shots"] == len(rows)
    asked = range(1, len(TEXTS), 2)
    found = named(adapter, [TEXTS[row] for row in asked])
    right = [set(one) == {LABELS[row], colours[row]} for one, row in zip(found, asked, strict=True) if one]
    assert len(right) > 0.8 * len(asked) and np.mean(right) > 0.8
    each = adapter.predict(ENCODER, [TEXTS[1]])[0]
    assert each == sorted(each, key=lambda pair: -pair[1]) and sum(p for _, p in each) > 1


def test_the_less_of_a_text_is_known_the_less_its_ngrams_say():
    adapter, blind = adapt(encoder=BlindEncoder()), BlindEncoder()
    found = adapter.probabilities(blind, ["red mug", "red mug zyxw vutsr qponm lkjih", "zyxw"])
    plain, padded, foreign = found[:, adapter.labels.index("kitchen")]
    assert plain > padded > foreign


def test_ngrams_speak_where_the_encoder_is_blind():
    blind = BlindEncoder()
    adapter = adapt(encoder=blind)
    assert answers(adapter, TEXTS[1::2], blind) == LABELS[1::2]
    assert not np.ptp(blind.encode(TEXTS) @ adapter.theta, axis=0).any()


def test_vectors_speak_for_words_no_shot_held():
    class Paraphrasing(PlantedEncoder):
        def encode(self, texts, progress=False):
            return super().encode([text.replace("xyzzy", "mug").replace("plugh", "lamp") for text in texts])

    adapter = adapt(encoder=Paraphrasing())
    assert answers(adapter, ["xyzzy", "plugh"], Paraphrasing()) == ["kitchen", "home"]


def test_names_of_classes_count_as_shots_only_where_they_help():
    texts, labels = ["big mug", "small mug", "big lamp", "small lamp"], ["MUG", "MUG", "Lamp", "Lamp"]
    assert adapt(texts, labels).settings["names"]
    swapped = {"MUG": "lamp", "Lamp": "mug"}
    misled = adapt(texts, [swapped[label] for label in labels])
    assert not misled.settings["names"]
    assert answers(misled, ["green mug"]) == ["lamp"]
    assert not adapt(texts, labels, config=ClassConfig(read_names=False)).settings["names"]


def test_one_shot_of_each_class_is_enough_to_start():
    assert answers(adapt(["mug", "lamp"], ["a", "b"]), ["red mug", "red lamp"]) == ["a", "b"]


def test_saved_classes_answer_the_same_and_come_back_whole(tmp_path):
    adapter = adapt()
    adapter.save(tmp_path / "room")
    loaded = ClassAdapter.load(tmp_path / "room", ENCODER)
    np.testing.assert_array_equal(loaded.probabilities(ENCODER, TEXTS), adapter.probabilities(ENCODER, TEXTS))
    assert (loaded.task, loaded.labels, loaded.settings) == ("room", adapter.labels, adapter.settings)
    assert {path.name for path in (tmp_path / "room").iterdir()} == {"task.json", "task.safetensors"}
    assert not any(text in (tmp_path / "room" / "task.json").read_text() for text in TEXTS)  # no shot is kept


def test_another_encoder_is_refused(tmp_path):
    adapt().save(tmp_path / "room")
    with pytest.raises(AdapterError, match="encoder is"):
        ClassAdapter.load(tmp_path / "room", PlantedEncoder(weights="v" * 64))


@pytest.mark.parametrize("damage", [
    {"theta": np.full((24, 4), np.nan, np.float32)}, {"bias": np.zeros(3, np.float32)}, {"weights": None}])
def test_broken_files_are_refused(tmp_path, damage):
    adapt().save(tmp_path / "room")
    path = tmp_path / "room" / "task.safetensors"
    save_file({name: part for name, part in (load_file(path) | damage).items() if part is not None}, path)
    with pytest.raises(AdapterError, match="cannot be read"):
        ClassAdapter.load(tmp_path / "room", ENCODER)


def test_another_format_and_missing_files_are_refused(tmp_path):
    adapt().save(tmp_path / "room")
    meta = tmp_path / "room" / "task.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 0}))
    with pytest.raises(AdapterError, match="format 0"):
        ClassAdapter.load(tmp_path / "room", ENCODER)
    with pytest.raises(RecsysError, match="missing"):
        ClassAdapter.load(tmp_path / "none", ENCODER)


def test_a_failed_save_leaves_the_former_version(tmp_path):
    adapter = adapt()
    adapter.save(tmp_path / "room")
    with pytest.raises(ValueError):
        replace(adapter, settings={"temperature": float("nan")}).save(tmp_path / "room")
    assert ClassAdapter.load(tmp_path / "room", ENCODER).settings == adapter.settings


@pytest.mark.parametrize(("texts", "labels", "message"), [
    (["mug", "cup"], ["kitchen", "kitchen"], "1 class in 2 rows"), (["mug", " "], ["a", "b"], "row 1 has no text"),
    (["mug", None], ["a", "b"], "row 1 has no text"), (["mug", "cup"], ["a", 2], "row 1 has the label 2"),
    (["mug", "cup"], ["", "b"], "row 0 has the label"), (["mug"], ["a", "b"], "1 texts and 2 labels"), ([], [], "0 class"),
    (["mug", "mug"], ["a", "b"], "the same text")])
def test_unusable_shots_are_named(texts, labels, message):
    with pytest.raises(AdapterError, match=message):
        fit_classes(ENCODER, texts, labels, CONFIG, task="room")


def test_the_same_shots_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        adapt().save(tmp_path / name)
    one, two = ((tmp_path / name / "task.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


BARE = """
import sys
import numpy as np
from recsys_core.tasks.classes import fit_classes

class Encoder:
    fingerprint = {"weights": "w", "tokenizer": "t", "dim": 4}

    def encode(self, texts):
        return np.eye(4, dtype=np.float32)[[len(text) % 4 for text in texts]]

texts, labels = ["mug", "cup", "lamp", "red lamp"], ["kitchen", "kitchen", "home", "home"]
fit_classes(Encoder(), texts, labels, task="room").predict(Encoder(), ["red mug"])
print(*{"scipy", "sklearn", "torch", "transformers", "onnxruntime"} & set(sys.modules))
"""


def test_learning_and_answering_load_no_training_library():
    assert subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True).stdout.split() == []
