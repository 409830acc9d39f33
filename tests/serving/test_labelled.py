"""What a bundle says of texts: the tiny bundle knows two intents and the material of its titles, and grades no pair."""

import subprocess
import sys

import pytest

from recsys_core.errors import BundleError, RequestError
from recsys_core.serving import Bundle
from tests.serving.tiny import WordEncoder


def labels(found) -> list[list[str]]:
    return [[label for label, _ in one] for one in found]


def test_classes_of_texts_with_their_probabilities(bundle):
    found = bundle.classify("intent", ["when will my bowl arrive", "show me a lantern", "when will my bowl arrive"])
    assert labels(found) == [["delivery"], ["find"], ["delivery"]] and found[0] == found[2]
    assert all(0 < probability <= 1 for one in found for _, probability in one)
    assert bundle.intent("when will my bowl arrive") == found[0]
    assert bundle.classify("intent", []) == []


def test_attributes_of_texts(bundle):
    assert bundle.extract(["Glass teapot", "Oak bench"]) == [{"material": "Glass"}, {"material": "Oak"}]
    assert bundle.extract(["Glass teapot"], category="Kitchen") == [{"material": "Glass"}]


def test_without_graded_pairs_words_and_meaning_are_calibrated(bundle):
    grades = bundle.match("glass teapot", item_ids=["k1", "k2", "d0"])
    assert grades[0] == grades[1] > 0.8 > 0.2 > grades[2]
    by_text = bundle.match("glass teapot", texts=["Glass teapot", "Green olives"])
    assert by_text[0] == pytest.approx(grades[0], abs=0.01) and by_text[1] < 0.2


def test_every_task_that_was_tried_is_told(bundle):
    assert {name: task["proven"] for name, task in bundle.tasks.items()} == {"attributes": True, "intent": True, "mood": False}


@pytest.mark.parametrize(("task", "why"), [
    ("mood", "was refused (words do as well)"), ("taste", "is unknown; tasks of classes: intent"),
    ("attributes", "is one of spans"), (7, "is no name"), ("x" * 5000, "is unknown"), (None, "is no name")])
def test_a_task_that_cannot_answer_is_refused_with_the_reason(bundle, task, why):
    with pytest.raises(RequestError) as refused:
        bundle.classify(task, ["a mug"])
    assert why in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize("texts", [[""], ["  "], ["a" * 10_000_000], [None], [7], "one text", None, {"a": 1}, [["a"]]])
def test_texts_that_are_none_are_refused(bundle, texts):
    for ask in (lambda: bundle.classify("intent", texts), lambda: bundle.extract(texts),
                lambda: bundle.match("mug", texts=texts)):
        with pytest.raises(RequestError):
            ask()


@pytest.mark.parametrize("text", ["\u202eevil\u202c\x00\x07", "👍🏽🇬🇷", "'; DROP TABLE items; --", "\ud800",
                                  "<script>alert(1)</script>", "مرحبا بالعالم", "木製おもちゃ", "a" * 20_000, "?", "0"])
def test_odd_texts_are_answered(bundle, text):
    assert len(bundle.classify("intent", [text])) == len(bundle.extract([text])) == 1
    assert 0 <= bundle.match(text[:500], texts=[text])[0] <= 1


def test_markup_and_invisible_characters_change_nothing(bundle):
    assert bundle.intent("where is <b>my</b>\x00 order\u202e") == bundle.intent("where is my order")


@pytest.mark.parametrize("asked", [{}, {"item_ids": ["k0"], "texts": ["a"]}, {"item_ids": ["gone"]}, {"item_ids": "k0"},
                                   {"item_ids": [None]}])
def test_a_match_needs_known_items_or_texts(bundle, asked):
    with pytest.raises(RequestError, match=r"match|item"):
        bundle.match("mug", **asked)


def test_a_bundle_without_tasks_says_how_to_get_them(bundle_folder, bundle):
    bundle.manifest["tasks"].clear()
    with pytest.raises(RequestError, match="recsys adapt --task attributes"):
        bundle.extract(["a mug"])
    with pytest.raises(RequestError, match="recsys adapt --task intent"):
        bundle.intent("a mug")
    assert 0 <= bundle.match("mug", ["k0"])[0] <= 1


def test_new_items_are_graded_at_once(bundle):
    more = bundle.with_items([{"item_id": "k9", "title": "Ceramic sieve"}])
    new, old = more.match("ceramic sieve", ["k9", "d0"])
    assert new > 0.8 > 0.2 > old and more.intent("where is my order") == bundle.intent("where is my order")


def test_nothing_is_opened_until_a_text_is_asked_for(bundle_folder):
    code = ("import pytest, sys; from tests.serving import tiny; tiny.use_word_encoder(pytest.MonkeyPatch());"
            f"from recsys_core.serving import Bundle; b = Bundle.load({str(bundle_folder)!r}); b.recommend(['k0']);"
            "print('reader' in vars(b.parts.labelled) if 'labelled' in vars(b.parts) else False);"
            "b.intent('where is my order'); print(b.parts.labelled.reader is b.parts.labelled.reader)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_answering_needs_no_training_library(bundle_folder):
    stand_in = ("import numpy as np\nclass One:\n  dim = 16\n  encode = lambda self, texts: np.full((len(texts), 16), .25, 'f')\n"
                f"  fingerprint = {WordEncoder.fingerprint!r}\n"
                "  load = classmethod(lambda cls, *_, **__: cls())\n")
    code = (f"{stand_in}import sys, recsys_core.student as s; s.OnnxEncoder = One\nfrom recsys_core.serving import Bundle\n"
            f"b = Bundle.load({str(bundle_folder)!r}); b.intent('my order'); b.extract(['Steel mug']); b.match('mug', ['k0'])\n"
            "print(' '.join(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "recsys_core.tasks.match" in loaded
    assert [name for name in loaded if name.split(".")[0] in ("torch", "transformers", "sklearn", "scipy", "onnxruntime")] == []


def test_a_task_of_another_encoder_never_answers(bundle, monkeypatch):
    monkeypatch.setattr(WordEncoder, "fingerprint", {**WordEncoder.fingerprint, "weights": "x" * 64})
    with pytest.raises(Exception, match="another base"):
        bundle.intent("where is my order")


def test_files_of_tasks_are_verified_with_all_others(bundle_folder, tmp_path):
    import shutil

    copy = shutil.copytree(bundle_folder, tmp_path / "bundle")
    with open(copy / "tasks" / "intent" / "task.json", "a") as handle:
        handle.write(" ")
    with pytest.raises(BundleError, match=r"tasks/intent/task\.json"):
        Bundle.load(copy)
