"""A bundle with an index of its texts answers what a bundle without one answers."""

import json
import shutil
import sys

import pytest

from recsys_core.deployment.bundle import BundleConfig, write_bundle
from recsys_core.errors import BundleError
from recsys_core.retrieval import ann
from recsys_core.serving import Bundle
from recsys_core.serving.files import INDEX
from recsys_core.serving.verification import MANIFEST, verify_bundle
from tests.serving.test_fork import child
from tests.serving.tiny import TITLES, tiny_arguments, use_word_encoder


def written(folder, sources, above: int) -> None:
    arguments = tiny_arguments(sources)
    config = BundleConfig(**{**arguments["config"].model_dump(), "index_above": above})
    write_bundle(folder, **{**arguments, "config": config})


@pytest.fixture(scope="module")
def indexed_folder(tmp_path_factory):
    """The tiny bundle's nineteen texts are more than eighteen."""
    made = tmp_path_factory.mktemp("indexed")
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        written(made / "bundle", made / "sources", above=18)
    return made / "bundle"


@pytest.fixture
def indexed(indexed_folder, bundle, monkeypatch):
    """The bundle that has an index, and shortlists that leave something out of so few texts."""
    monkeypatch.setattr(ann, "FEW", 0)
    monkeypatch.setattr(ann, "KEPT", 6)
    monkeypatch.setattr(ann, "NEAR", 6)
    return Bundle.load(indexed_folder)


def answers(bundle, query, **asked):
    return [(one.item_id, round(one.score, 3), sorted(one.reasons)) for one in bundle.search(query, k=1, **asked)]


@pytest.mark.parametrize("asked", [
    {}, {"history": ["k0", "g0"]}, {"segment": "deli"}, {"segment": "auto", "context": {"store": "367"}},
    {"filters": {"department": "Kitchen"}}, {"candidates": ["t0", "d1"]}, {"shelf": "window"},
    {"filters": {"price": {"max": 17}}, "history": ["t0"]}])
def test_it_answers_as_scoring_every_text_does(bundle, indexed, asked, monkeypatch):
    sizes = []
    shortlist = ann.TextIndex.shortlist
    monkeypatch.setattr(ann.TextIndex, "shortlist", lambda *given: sizes.append(len(found := shortlist(*given))) or found)
    for query in [*TITLES.values(), "mug of steel", "nothing like it"]:
        assert answers(indexed, query, **asked) == answers(bundle, query, **asked), query
    assert sizes and max(sizes) < 19


def test_explained_parts_still_add_up(indexed):
    for one in indexed.search("glass teapot", k=2, history=["k0"], explain=True):
        assert sum(line["value"] for line in one.contributions) == pytest.approx(one.score, abs=1e-4)


def test_posted_items_are_found_at_once(indexed):
    more = indexed.with_items([{"item_id": "z9", "title": "Ceramic sieve", "department": "Kitchen"}])
    assert more.search("ceramic sieve", k=1)[0].item_id == "z9"
    assert "z9" not in [one.item_id for one in more.search("ceramic sieve", k=2, filters={"department": "Toys"})]


def test_rules_look_at_every_item(indexed, bundle, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("must: [{name: toys, filters: {department: Toys}, among: 1, count: 1}]")
    found = [one.search("goat cheese", k=2, rules=one.bind_rules(rules))[0].item_id for one in (indexed, bundle)]
    assert found[0] == found[1] and found[0].startswith("t")


def test_a_forked_worker_asks_the_index_its_parent_asked(indexed):
    before = answers(indexed, "oak bench")

    def work():
        assert answers(indexed, "oak bench") == before
    assert child(work) == 0


def test_the_index_is_listed_and_only_written_beyond_the_threshold(indexed_folder, bundle_folder):
    assert INDEX in json.loads((indexed_folder / MANIFEST).read_text())["files"]
    assert not (bundle_folder / INDEX).exists()


def test_a_touched_index_is_refused_unread(indexed_folder, tmp_path, monkeypatch):
    copy = shutil.copytree(indexed_folder, tmp_path / "copy")
    monkeypatch.setattr(ann.TextIndex, "load", lambda *_: pytest.fail("deserialised"))
    whole = (copy / INDEX).read_bytes()
    (copy / INDEX).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"{INDEX} was changed"):
        Bundle.load(copy)
    (copy / INDEX).write_bytes(b"IxFI" + whole[4:])
    with pytest.raises(BundleError, match=f"{INDEX}: is a pickle or not the format"):
        verify_bundle(copy)


def test_without_faiss_every_text_is_scored_and_a_warning_says_so(indexed_folder, bundle, monkeypatch, caplog, tmp_path):
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = Bundle.load(indexed_folder)
    assert without.parts.index is None and answers(without, "clay pot") == answers(bundle, "clay pot")
    assert [record.getMessage() for record in caplog.records if record.name == ann.__name__] == [ann.MISSING % "19"]
    caplog.clear()
    written(tmp_path / "bundle", tmp_path / "sources", above=0)
    assert not (tmp_path / "bundle" / INDEX).exists()
    assert [record.getMessage() for record in caplog.records if record.name == ann.__name__] == [ann.MISSING % "19"]
