"""Families: counts of every member side by side, each asker's own left out, stored so that they fit no other base."""

import json
import tracemalloc

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.closed_form import Counted, Strengths, prepare, solve_counts
from recsys_core.adaptation.family import ABOUT, ARRAYS, Family, leave_own_out, make_family
from recsys_core.adaptation.items import ItemPrior
from recsys_core.errors import AdapterError
from recsys_core.interactions.arrays import Catalogue
from recsys_core.interactions.knots import KNOTS
from tests.adaptation.planted import CUTS, LOCK, likes, make_catalogue, planted_study, word_vectors

SHOP = make_catalogue()
UNIFORM = likes(SHOP)
STRENGTHS = Strengths((30.0, 300.0), 30.0, ItemPrior(30.0, 0.01), likeness=0.1)
TRUST = np.linspace(1, 0.4, len(KNOTS)).astype(np.float32)


@pytest.fixture(scope="module")
def study():
    """Store "dairy" buys from the dairy, the other three whatever there is."""
    return planted_study({"dairy": likes(SHOP, category="dairy"), **{f"any{n}": UNIFORM for n in range(3)}})


@pytest.fixture(scope="module")
def family(study):
    return make_family(study, "store", CUTS[3], STRENGTHS, TRUST)


def lift(offsets: np.ndarray) -> float:
    """How far the dairy is lifted over the others."""
    dairy = (SHOP.items["category"] == "dairy").to_numpy()
    return float(offsets[dairy].mean() - offsets[~dairy].mean())


def same(one: Family, two: Family) -> bool:
    return one.members == two.members and all(
        np.array_equal(one.adapter(m).offsets(SHOP), two.adapter(m).offsets(SHOP)) for m in one.members if one.shots(m))


def test_a_store_that_buys_other_items_is_lifted_and_the_others_are_not(family):
    assert family.members == ["any0", "any1", "any2", "dairy"] and family.by == "context.store"
    assert lift(family.adapter("dairy").offsets(SHOP)) > 1
    assert all(lift(family.adapter(f"any{n}").offsets(SHOP)) < 0 for n in range(3))


def test_members_carry_the_trust_and_tell_how_they_were_made(family):
    adapter = family.adapter("dairy")
    assert (adapter.segment, adapter.method, adapter.settings["shots"]) == ("dairy", "counts", 400)
    assert adapter.settings["strength"] == {"category_1": 30.0, "brand": 300.0, "text": 30.0, "items": 30.0,
                                            "rare_items": 0.01}
    np.testing.assert_array_equal(adapter.trust, TRUST)
    assert adapter.weight(0) == 1.0 and adapter.weight(64) == pytest.approx(0.4)
    assert (family.trusted(np.zeros(7)).adapter("dairy").trust == 0).all()


def test_a_stranger_has_no_adapter(study, family):
    assert family.adapter("never heard of") is None and family.shots("never heard of") == 0
    early = make_family(study, "store", 0, STRENGTHS, TRUST)
    assert early.members == family.members and early.adapter("dairy") is None


def test_only_shots_before_the_cutoff_count_and_at_most_k(study):
    assert make_family(study, "store", CUTS[0], STRENGTHS, TRUST).shots("dairy") == 200
    few = [make_family(study, "store", CUTS[0], STRENGTHS, TRUST, 16, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert [one.shots("dairy") for one in few] == [16] * 3
    assert same(few[0], few[1]) and not same(few[0], few[2])


def test_new_items_and_new_groups_get_what_the_group_and_the_text_say(family):
    texts = ["big red milk", "big red rug"]
    later = Catalogue(pl.DataFrame({"item_id": ["new", "newer"], "text": texts, "category": ["dairy", "home"],
                                    "brand": ["acme", "zen"]}), np.arange(2, dtype=np.int32), word_vectors(texts))
    offsets = family.adapter("dairy").offsets(later)
    assert offsets[0] > offsets[1] + 1


def test_leaving_the_asker_out_is_adapting_without_its_events(study):
    queries = study.questions("store", CUTS[1], CUTS[2], 12, np.random.default_rng(0))
    offsets = leave_own_out(study, "store", queries, CUTS[1], STRENGTHS)
    assert len(offsets) == len(queries) == 12
    codes, members = study.codes("store")
    events, prior = study.events, study.base_at(CUTS[1])[1]
    for row in range(12):
        member = study.asked("store", queries)[row]
        others = (codes == member) & (events.user != queries.user[row]) & (events.timestamp < CUTS[1])
        items, counts = np.unique(events.item[others], return_counts=True)
        assert counts.sum() == 19 * 14
        alone = solve_counts(prior, [Counted(items, counts, crowd=14.0)], STRENGTHS).offsets(0, SHOP)
        np.testing.assert_allclose(offsets[row], alone, atol=1e-5)
        assert members[member] == study.events.user_ids[queries.user[row]].split("-")[0]


def test_left_out_shots_may_be_few_or_anothers_or_none(study):
    queries = study.questions("store", CUTS[1], CUTS[2], 12, np.random.default_rng(0))
    few = leave_own_out(study, "store", queries, CUTS[1], STRENGTHS, 8, np.random.default_rng(0))
    assert (few.solved.shots == 8).all()
    dairy = leave_own_out(study, "store", queries, CUTS[1], STRENGTHS, members=np.full(12, 3))
    assert min(lift(dairy[row]) for row in range(12)) > 1
    for nobody in (leave_own_out(study, "store", queries, 0, STRENGTHS),
                   leave_own_out(study, "store", queries, CUTS[1], STRENGTHS, members=np.full(12, -1))):
        assert (nobody.row == -1).all() and not any(nobody[row].any() for row in range(12))


def test_a_family_survives_its_files_exactly(family, tmp_path):
    family.save(tmp_path / "store")
    loaded = Family.load(tmp_path / "store", LOCK)
    assert same(loaded, family) and loaded.strengths == family.strengths and loaded.stages == family.stages
    assert {path.name for path in (tmp_path / "store").iterdir()} == {ABOUT, ARRAYS}
    loaded.trusted(np.zeros(7)).save(tmp_path / "store")  # replaces what was there
    assert not Family.load(tmp_path / "store", LOCK).trust.any()


@pytest.mark.parametrize("strengths", [Strengths((None, None), None, ItemPrior(30.0, 0.0)), Strengths((30.0, None)),
                                       Strengths((None, None), 30.0)])
def test_stages_that_are_off_are_stored_as_such(study, tmp_path, strengths):
    family = make_family(study, "store", CUTS[3], strengths, TRUST)
    family.save(tmp_path / "store")
    assert same(Family.load(tmp_path / "store", LOCK), family)
    assert family.adapter("dairy").is_live(SHOP)


@pytest.mark.parametrize("key", ["encoder", "tokenizer", "features"])
def test_another_base_is_refused_by_name(family, tmp_path, key):
    family.save(tmp_path / "store")
    with pytest.raises(AdapterError, match=f"family store.*{key} is {LOCK[key][:12]}.*the base has 000"):
        Family.load(tmp_path / "store", LOCK | {key: "0" * 64})


@pytest.mark.parametrize("changes", [
    {"format": 99}, {"members": ["a"]}, {"members": None}, {"levels": []}, {"item_ids": []}, {"strengths": {}},
    {"levels": [{"name": "category_1", "labels": []}, {"name": "brand", "labels": []}]}])
def test_a_record_that_does_not_fit_is_refused(family, tmp_path, changes):
    family.save(tmp_path / "store")
    path = tmp_path / "store" / ABOUT
    record = {key: value for key, value in (json.loads(path.read_text()) | changes).items() if value is not None}
    path.write_text(json.dumps(record))
    with pytest.raises(AdapterError, match="re-adapt the family"):
        Family.load(tmp_path / "store", LOCK)


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_truncated_arrays_are_refused(family, tmp_path, kept):
    family.save(tmp_path / "store")
    path = tmp_path / "store" / ARRAYS
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(AdapterError, match="re-adapt the family"):
        Family.load(tmp_path / "store", LOCK)


def test_values_that_are_not_finite_and_broken_bounds_are_refused(family, tmp_path):
    from safetensors.numpy import load_file, save_file

    for key, place, value in (("trust", 0, np.nan), ("items.value", 0, np.inf), ("items.entry", 0, -1),
                              ("items.entry", 0, 10**6), ("items.indptr", 1, 10**6), ("level_0.indptr", 0, 3)):
        family.save(tmp_path / "store")
        arrays = load_file(tmp_path / "store" / ARRAYS)
        arrays[key][place] = value
        save_file(arrays, tmp_path / "store" / ARRAYS)
        with pytest.raises(AdapterError, match="re-adapt the family"):
            Family.load(tmp_path / "store", LOCK)


def test_ten_thousand_tiny_members_fit_in_little_memory(tmp_path):
    rng, prior = np.random.default_rng(0), prepare(SHOP, np.full(len(SHOP), 20.0), LOCK)
    assert len(prior.cells.share)  # what every member shares
    tracemalloc.start()
    counted = (Counted(rng.choice(len(SHOP), 3, replace=False), np.ones(3)) for _ in range(10_000))
    solved = solve_counts(prior, counted, STRENGTHS).compact()
    family = Family("store", "users.id", dict(LOCK), TRUST, STRENGTHS, {}, [f"{n:05d}" for n in range(10_000)], solved)
    family.save(tmp_path / "store")
    loaded = Family.load(tmp_path / "store", LOCK)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20 and len(loaded.members) == 10_000
    assert loaded.adapter("09999").settings["shots"] == 3
