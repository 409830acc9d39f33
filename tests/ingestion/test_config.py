"""shop.yaml: every mistake stops with one error that names the field and the fix."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from recsys_core.errors import ShopError
from recsys_core.ingestion.conditions import split_condition
from recsys_core.ingestion.config import FamilySpec, SegmentSpec, ShopConfig, load_config, preset_names


def config_of(folder: Path, text: str):
    (folder / "shop.yaml").write_text(text)
    return load_config(folder)


def test_no_shop_yaml_means_defaults(tmp_path):
    config = load_config(tmp_path)
    assert (config.name, config.time_zone, config.lateness_days) == (tmp_path.name, "UTC", 2)
    assert config.segments == () and not config.order_only


def test_values_are_typed(tmp_path):
    config = config_of(tmp_path, "first_day: 2024-01-05\nsegments:\n"
                       "  - {name: easter, kind: scene, start: 2024-03-20, end: '2024-03-31'}\n")
    assert config.first_day == date(2024, 1, 5)
    assert config.segments[0].end == date(2024, 3, 31) and config.segments[0].where == "true"


@pytest.mark.parametrize(("text", "words"), [
    ("time_zon: UTC", ["time_zon", "did you mean 'time_zone'"]),
    ("segments: [{name: a, kind: domain, wher: x}]", ["segments → 0 → wher", "did you mean 'where'"]),
    ("segments: [{name: a, kind: season}]", ["kind", "season"]),
    ("segments: [{name: A b, kind: new_users}]", ["name", "A b"]),
    ("segments: [{name: a, kind: scene}]", ["'a'", "start and end"]),
    ("segments: [{name: a, kind: scene, start: 2024-02-01, end: 2024-01-01}]", ["starts after it ends"]),
    ("segments: [{name: a, kind: new_users, start: 2024-02-01}]", ["has a start or end"]),
    ("segments: [{name: a, kind: custom, where: x = 1, first_days: 3}]", ["first_days"]),
    ("segments: [{name: a, kind: custom}]", ["selects every event"]),
    ("segments: [{name: a, kind: new_users}, {name: a, kind: new_users}]", ["two segments or families", "'a'"]),
    ("segments: [{name: a, kind: new_users}]\ncontext: [b]\nfamilies: [{name: a, by: context.b}]", ["two segments or", "'a'"]),
    ("families: [{name: a, by: events.price}]", ["families", "events.price"]),
    ("families: [{name: a, by: users.x, bye: 1}]", ["families → 0 → bye", "did you mean 'by'"]),
    ("families: [{name: A b, by: users.x}]", ["A b"]),
    ("fairness: {user: [age]}", ["fairness → user", "did you mean 'users'"]),
    ("fairness: {quality_gap: 2}", ["fairness → quality_gap"]),
    ("release: {aproval: true}", ["release → aproval", "did you mean 'approval'"]),
    ("release: {keep: 0}", ["release → keep"]),
    ("context: [Store]", ["Store"]), ("context: [shop-no]", ["shop-no"]),
    ("context: [price]", ["'price', a column of the contract"]), ("context: [placement]", ["'placement'"]),
    ("context: [a, b, a]", ["'a' twice"]),
    ("columns: {events: {store: shop_no}}", ["unknown column 'store'", "declare the name in `context`"]),
    ("segments: [{name: abroad, kind: new_users}]\nsegment_order: [abraod]", ["did you mean 'abroad'"]),
    ("time_zone: Europe/Londn", ["Europe/Londn", "IANA"]),
    ("order_only: true\ntime_zone: Europe/London", ["order_only", "leave time_zone out"]),
    ("first_day: 2024-02-01\nlast_day: 2024-01-01", ["first_day 2024-02-01"]),
    ("preset: online_retial", ["did you mean 'online_retail'", "sequences"]),
    ("columns: {events: {user: id}}", ["'user'", "did you mean 'user_id'"]),
    ("columns: {event: {user_id: id}}", ["event"]),
    ("event_type: buy", ["'buy'", "purchase"]),
    ("event_types: {cart: add_to_car}", ["did you mean 'add_to_cart'"]),
    ("- a\n- b", ["mapping"]),
    ("name: [", ["broken YAML"]),
    ("lateness_days: -1", ["lateness_days"]),
])
def test_mistakes_are_named(tmp_path, text, words):
    with pytest.raises(ShopError) as error:
        config_of(tmp_path, text)
    assert "shop.yaml" in error.value.artefact and error.value.fix
    for word in words:
        assert word in str(error.value)


def test_shop_fields_lie_over_the_preset(tmp_path):
    config = config_of(tmp_path, "preset: online_retail\ntime_zone: UTC\n"
                       "columns: {events: {user_id: Customer ID}}\nsegments: []\n")
    assert config.columns["events"]["user_id"] == "Customer ID"
    assert config.columns["events"]["item_id"] == "StockCode"
    assert (config.time_zone, config.segments, config.event_type) == ("UTC", (), "purchase")


def test_replacing_the_segments_replaces_their_order(tmp_path):
    config = config_of(tmp_path, "preset: online_retail\nsegments: [{name: x, kind: new_users}]\n")
    assert [segment.name for segment in config.segments] == ["x"] and config.segment_order == ()
    assert [family.name for family in config.families] == ["country"]


def test_the_order_may_name_families(tmp_path):
    config = config_of(tmp_path, "context: [store]\nfamilies: [{name: shops, by: context.store}]\n"
                       "segments: [{name: a, kind: new_users}]\nsegment_order: [shops, a]\n"
                       "columns: {events: {store: [shop_no, store]}, promotions: {store: shop}}\n")
    assert config.segment_order == ("shops", "a") and config.families[0].by == "context.store"


def test_every_preset_is_a_valid_config(tmp_path):
    assert preset_names() == ["amazon_reviews", "complete_journey", "online_retail", "recbole", "rees46",
                              "sequences"]
    for name in preset_names():
        assert config_of(tmp_path, f"preset: {name}").preset == name


def test_the_reference_page_shows_a_valid_shop_and_a_true_error(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "shop_contract.md").read_text()
    config = config_of(tmp_path, page.split("```yaml\n")[1].split("```")[0])
    assert [split_condition(segment.where).candidates != "true" for segment in config.segments] == [
        False, False, True, False, True]
    with pytest.raises(ShopError) as error:
        split_condition("events.price < 1", "bargains", "my-shop/shop.yaml")
    assert str(error.value) in page


def test_the_reference_page_names_every_field_and_preset():
    page = (Path(__file__).parents[2] / "docs" / "shop_contract.md").read_text()
    for name in (*ShopConfig.model_fields, *SegmentSpec.model_fields, *FamilySpec.model_fields, *preset_names()):
        assert f"`{name}`" in page, name
