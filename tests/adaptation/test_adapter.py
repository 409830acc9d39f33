"""The adapter's format: parts that add up, a lock that holds, files that are checked."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.adapter import Adapter, check_lock
from recsys_core.errors import AdapterError
from recsys_core.interactions.arrays import Catalogue
from tests.adaptation.planted import LOCK, make_catalogue, word_vectors

SHOP = make_catalogue()


def adapter(**changes) -> Adapter:
    rng = np.random.default_rng(0)
    full = Adapter("toys", "closed_form", dict(LOCK), rng.normal(size=24).astype(np.float32),
                   groups={"category_1|dairy": 1.5, "brand|acme": -0.5, "brand|unheard of": 3.0},
                   item_ids=("i003", "sold out"), item_values=np.array([0.25, 7.0], np.float32),
                   trust=np.array([1, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0], np.float32),
                   settings={"shots": 8, "strength": {"text": None}})
    return replace(full, **changes)


def same(one: Adapter, two: Adapter) -> bool:
    arrays = ("theta", "item_values", "trust")
    rest = ("segment", "method", "lock", "groups", "item_ids", "settings")
    return all(np.array_equal(getattr(one, a), getattr(two, a)) for a in arrays) and all(
        getattr(one, name) == getattr(two, name) for name in rest)


def test_offsets_are_the_sum_of_the_named_parts():
    parts = adapter().parts(SHOP)
    assert set(parts) == {"segment_groups", "segment_items", "segment_text"}
    assert all(part.dtype == np.float32 and part.shape == (len(SHOP),) for part in parts.values())
    np.testing.assert_array_equal(adapter().offsets(SHOP), sum(parts.values()))


def test_every_kind_of_value_lands_on_its_items():
    theta = word_vectors(["red"])[0]
    parts = adapter(theta=theta).parts(SHOP)
    items = SHOP.items.with_columns(groups=pl.lit(parts["segment_groups"]), text_value=pl.lit(parts["segment_text"]),
                                    own=pl.lit(parts["segment_items"]))
    wanted = pl.when(pl.col("category") == "dairy").then(1.5).otherwise(0.0) + pl.when(
        pl.col("brand") == "acme").then(-0.5).otherwise(0.0)
    assert items.filter(pl.col("groups") != wanted).is_empty()
    np.testing.assert_allclose(items["text_value"], word_vectors(items["text"].to_list()) @ theta, atol=1e-6)
    assert items.filter(pl.col("own") != 0).select("item_id", "own").rows() == [("i003", 0.25)]


def test_text_tilts_items_that_came_later():
    texts = ["big red tea", "small blue chair"]
    later = Catalogue(pl.DataFrame({"item_id": ["new", "newer"], "text": texts, "category": ["dairy", "toys"],
                                    "brand": [None, "acme"]}), np.array([0, 1], np.int32), word_vectors(texts))
    expected = word_vectors(texts) @ adapter().theta + [1.5, 0]  # one brand tells nothing apart
    np.testing.assert_allclose(adapter().offsets(later), expected, atol=1e-5)


def test_a_zero_or_constant_adapter_is_not_live():
    zero = Adapter("toys", "closed_form", dict(LOCK), np.zeros(24, np.float32))
    assert not zero.is_live(SHOP)
    assert not replace(zero, groups={"brand|acme": 2.0, "brand|zen": 2.0}).is_live(SHOP)
    assert replace(zero, item_ids=("i003",), item_values=np.ones(1, np.float32)).is_live(SHOP)
    assert not replace(zero, item_ids=("sold out",), item_values=np.ones(1, np.float32)).is_live(SHOP)


def test_saving_and_loading_is_exact(tmp_path):
    adapter().save(tmp_path / "toys")
    loaded = Adapter.load(tmp_path / "toys", LOCK)
    assert same(loaded, adapter())
    np.testing.assert_array_equal(loaded.offsets(SHOP), adapter().offsets(SHOP))
    replace(loaded, segment="games").save(tmp_path / "toys")  # replaces what was there
    assert Adapter.load(tmp_path / "toys", LOCK).segment == "games"
    assert {path.name for path in (tmp_path / "toys").iterdir()} == {"adapter.json", "adapter.safetensors"}


@pytest.mark.parametrize("key", ["encoder", "tokenizer", "features"])
def test_another_base_is_refused_by_name(tmp_path, key):
    adapter().save(tmp_path / "toys")
    with pytest.raises(AdapterError, match=f"adapter toys.*{key} is {LOCK[key][:12]}.*the base has 000"):
        Adapter.load(tmp_path / "toys", LOCK | {key: "0" * 64})


def test_a_missing_hash_fits_nothing():
    with pytest.raises(AdapterError, match="tokenizer"):
        check_lock("adapter", {"encoder": "e", "features": "f"}, {"encoder": "e", "features": "f"})


def broken(tmp_path, change) -> None:
    adapter().save(tmp_path / "toys")
    change(tmp_path / "toys")
    with pytest.raises(AdapterError, match="re-adapt the segment"):
        Adapter.load(tmp_path / "toys", LOCK)


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_truncated_weights_are_refused(tmp_path, kept):
    def cut(folder):
        file = folder / "adapter.safetensors"
        file.write_bytes(file.read_bytes()[:kept])

    broken(tmp_path, cut)


def test_missing_weights_are_refused(tmp_path):
    broken(tmp_path, lambda folder: (folder / "adapter.safetensors").unlink())


@pytest.mark.parametrize("changes", [
    {"format": 99}, {"segment": None}, {"item_ids": ["i003"]}, {"groups": {"brand|acme": "much"}}])
def test_a_record_that_does_not_fit_is_refused(tmp_path, changes):
    def edit(folder):
        record = json.loads((folder / "adapter.json").read_text())
        record = {key: value for key, value in (record | changes).items() if value is not None}
        (folder / "adapter.json").write_text(json.dumps(record))

    broken(tmp_path, edit)


def test_values_that_are_not_finite_are_refused(tmp_path):
    adapter(theta=np.full(24, np.nan, np.float32)).save(tmp_path / "toys")
    with pytest.raises(AdapterError, match="not finite"):
        Adapter.load(tmp_path / "toys", LOCK)


def test_trust_is_given_at_knots_and_linear_in_the_logarithm_between():
    weights = [adapter().weight(steps) for steps in (0, 1, 2, 4, 8, 16, 64, 500)]
    np.testing.assert_allclose(weights, [1, 0.9, 0.8, 0.6, 0.4, 0.2, 0, 0], atol=1e-6)
    assert adapter().weight(3) == pytest.approx(0.8 - 0.2 * np.log2(4 / 3) / np.log2(5 / 3), abs=1e-6)
    plain = Adapter("toys", "closed_form", dict(LOCK), np.zeros(24, np.float32))
    assert [plain.weight(steps) for steps in (0, 3, 99)] == [1.0] * 3


@pytest.mark.parametrize("trust", [np.ones(6, np.float32), np.full(7, np.nan, np.float32)])
def test_a_broken_trust_is_refused(tmp_path, trust):
    adapter(trust=trust).save(tmp_path / "toys")
    with pytest.raises(AdapterError, match="re-adapt the segment"):
        Adapter.load(tmp_path / "toys", LOCK)


def test_a_level_speaks_for_its_other_values_but_not_for_items_without_one():
    texts = ["big red tea", "small blue chair", "big red mug", "small red mug"]
    later = Catalogue(pl.DataFrame({"item_id": list("abcd"), "text": texts, "brand": ["acme", "zen", "brand new", None],
                                    "category": [None] * 4}, schema_overrides={"category": pl.String}),
                      np.arange(4, dtype=np.int32), word_vectors(texts))
    some = adapter(theta=np.zeros(24, np.float32), groups={"brand": -2.0, "brand|acme": 1.0, "category_1": 5.0})
    assert some.parts(later)["segment_groups"].tolist() == [1, -2, -2, 0]


def test_the_catalogue_keeps_its_texts_in_row_order():
    assert SHOP.texts == SHOP.items["text"].unique().sort().to_list()
    assert SHOP.group_codes["brand|zen"] == (1, 1)
