"""Whatever lies in a shop's folder, loading it ends in tables or in a ShopError."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_core.cleaning import CleaningConfig, clean_days, clean_items
from recsys_core.errors import RecsysError, ShopError
from recsys_core.ingestion.config import ShopConfig, load_config
from recsys_core.ingestion.opening import open_shop

EVENTS = b"user_id,timestamp,event_type,item_id,price\nu1,2024-02-01T10:00:00,view,001,1\nu2,2024-02-02 9:05,click,002,2,5\n"
LINES = b'{"user_id": "u", "timestamp": 1706781600, "event_type": "view", "item_id": 1}\n'
PIECES = st.sampled_from([b'"', b"\n", b",", b";", b"\r", b"\0", b"\xff", b"\xe9", b"{", b"[", b"}", b"\\", b"NaN", b"1e999",
                          b"\xff\xfe", b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"2024-02-30", b"13/13/2024", b"9" * 20,
                          b"item_id", b"-", b"1,5", b"\xef\xbb\xbf", b"sep=;\n", b"\xf0\x9f\x98\x80"])
NAMES = st.sampled_from(["events.csv", "events.jsonl", "events.txt", "events/2024-02-01.csv", "events/2024-02-01.json",
                         "events/2024-02-01.parquet", "events.csv.gz", "users.csv", "shelves.csv",
                         "promotions.jsonl", "labels.tsv"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=8)
    | st.sampled_from(["events.csv", "*", "[", "UTC", "user_id", "item_id", "view", "%Y", "%z%", "events", "price", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["items", "events", "item_id", "user_id", "price", "x", "name", "kind", "where"]) | st.text(max_size=4),
        inner, max_size=3), max_leaves=6)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with up to three pieces put somewhere, over what was there or between it."""
    data = bytearray(draw(st.sampled_from([EVENTS, LINES, b"item_id,title\n001,Mug\n", b"user_id,item_id\n"])))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(draw(st.sampled_from([0, data.find(10) + 1])), len(data)))
        data[at:at + draw(st.integers(0, 3))] = draw(PIECES)
    return bytes(data)


def load(folder: Path) -> None:
    """Everything that a night reads of a shop, and its cleaning."""
    shop = open_shop(folder)
    drops = list(shop.events())
    items, _, _, _, _ = shop.items(), shop.users(), shop.judgments(), shop.labels(), shop.shelves()
    if shop.days():
        shop.promotions(shop.first_day, shop.last_day)
    raw = {drop.day.isoformat(): drop.events.lazy() for drop in drops}
    config = CleaningConfig(time_zone=shop.config.time_zone, lateness_days=shop.config.lateness_days)
    list(clean_days(raw, sorted(raw), clean_items(items)["item_id"], config))


def try_to_load(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (path := Path(folder, name)).parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        try:
            load(Path(folder))
        except RecsysError as error:
            assert "Fix: " in str(error) and not isinstance(error.__cause__, Exception), error.__cause__


SLOW = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=80, **SLOW)
@given(st.dictionaries(NAMES, damaged(), min_size=1, max_size=3), damaged())
def test_damaged_files(files, items):
    try_to_load({"items.csv": items, **files})


@settings(max_examples=80, **SLOW)
@given(st.dictionaries(st.sampled_from(list(ShopConfig.model_fields)), VALUES, max_size=3))
def test_any_settings(found):
    files = {"shop.yaml": yaml.safe_dump(found).encode(), "items.csv": b"item_id,title\n001,Mug\n", "events.csv": EVENTS}
    try_to_load(files)


@settings(max_examples=40, **SLOW)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_as_settings(data):
    try_to_load({"shop.yaml": data, "items.csv": b"item_id,title\n001,Mug\n", "events.csv": EVENTS})


@pytest.mark.parametrize("dtype", [pl.Null, pl.Time, pl.Duration, pl.Boolean, pl.List(pl.String), pl.Struct({"a": pl.Int8}),
                                   pl.Binary, pl.Categorical, pl.Decimal(10, 2), pl.Int128, pl.UInt64, pl.Float32, pl.Date,
                                   pl.Datetime("ns"), pl.Datetime("ms", "Asia/Tokyo"), pl.Array(pl.Int8, 2)])
@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "event_type", "price", "query", "context_store"])
def test_any_type_in_any_column(tmp_path, dtype, column):
    rows = {"user_id": ["u"] * 3, "item_id": ["1"] * 3, "timestamp": ["2024-02-01"] * 3, "event_type": ["view"] * 3,
            "price": [1.0] * 3, "query": ["x"] * 3, "context_store": ["s"] * 3}
    frame = pl.DataFrame(rows).with_columns(pl.lit(None, dtype).alias(column))
    (tmp_path / "events").mkdir()
    try:
        frame.write_parquet(tmp_path / "events" / "2024-02-01.parquet")
    except pl.exceptions.PolarsError:
        pytest.skip("not a type of parquet")
    (tmp_path / "items.csv").write_text("item_id,title\n1,Mug\n")
    (tmp_path / "shop.yaml").write_text("context: [store]\ncolumns: {events: {store: context_store}}\n")
    try_to_load({path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})


@pytest.mark.parametrize(("text", "words"), [
    ("time_zone:\tUTC\n\tname: x", ["broken YAML"]), ("name: a\nname: b", ["'name' stands twice"]), ("[1, 2]", ["not a mapping"]),
    ("name: 7", ["'name'", "in quotes"]), ("columns: [a]", ["'columns'"]), ("first_day: 2024-13-01", ["broken YAML", "month"]),
    ("first_day: 99999999999999999999", ["'first_day'"]), ("files: {events: 3}", ["files"]), ("? [a]\n: 1", ["broken YAML"]),
    ("lateness_days: 99999999999999999999", ["lateness_days"]), (b"name: \xff\xfe", ["broken YAML", "UTF-8"]),
    ("category_separator: |\n\n", ["category_separator"]), ("delimiter: ab", ["delimiter"]), ("encoding: klingon", ["encoding"]),
    ("encoding: zip", ["encoding"]), ("max_set_aside: 20", ["max_set_aside"]), ("decimal: x", ["decimal"]),
    ("segments: [{name: auto, kind: new_users}]", ["'auto'", "requests"]),
    ("families: [{name: request, by: users.a}]", ["'request'"]),
    ("time_zone: posixrules", ["time_zone"]), ("preset: [a]", ["preset"]), ("null_words: NA", ["null_words"]),
])
def test_odd_settings_are_named(tmp_path, text, words):
    (tmp_path / "shop.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ShopError) as error:
        load_config(tmp_path)
    for word in words:
        assert word in str(error.value)


def test_words_that_yaml_takes_for_booleans(tmp_path):
    (tmp_path / "shop.yaml").write_text("name: no\norder_only: yes\ncolumns: {items: {on: off}}\ncategory_separator: |\n  /\n")
    config = load_config(tmp_path)
    assert (config.name, config.order_only, config.columns) == ("no", True, {"items": {"on": "off"}})
    assert config.category_separator == "/"
