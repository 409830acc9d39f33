"""Feature tables by hand: a week of three shoppers, every number counted on paper."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.errors import DataError, ShopError
from recsys_core.features.store import FeatureConfig, Inputs, build_features, read_features
from recsys_core.ingestion.config import SegmentSpec
from recsys_core.schema import CLEAN_EVENTS, CLEAN_ITEMS, FEATURE_TABLES
from tests.test_artefacts import files_at_most

ITEMS = pl.DataFrame(
    [{"item_id": item, "shelf": shelf} for item, shelf in (("a", "toys"), ("b", "food"), ("never", "food"))],
    schema={**CLEAN_ITEMS, "shelf": pl.String})
USERS = pl.DataFrame({"user_id": ["u", "v"], "income": [1, 2]})
# id, user, day of June 2024 and time, type, item, session, price, quantity
ROWS = [
    ("i1", "u", "03T10:00", "impression", "a", "s1", None, None),
    ("p1", "u", "03T10:05", "purchase", "a", "s1", 2.0, 3.0),
    ("i2", "u", "03T10:06", "impression", "a", "s1", None, None),  # after the purchase: no outcome
    ("p2", "u", "04T10:00", "purchase", "a", "s2", 0.1, None),
    ("p3", "u", "04T10:00", "purchase", "b", "s2", 0.2, 1.0),
    ("i3", "u", "04T10:00", "impression", "b", "s2", None, None),  # same instant: an outcome
    ("i4", "v", "05T10:00", "impression", "a", "s3", None, None),
    ("c1", "v", "05T10:01", "click", "a", "s3", None, None),
    ("p4", "v", "05T12:00", "purchase", "a", "s4", 1.0, 1.0),      # another session than the impression
    ("q1", "v", "05T12:00", "search", None, "s4", None, None),
    ("i5", "u", "06T10:00", "impression", "a", "s5", None, None),
    ("p5", "w", "06T10:00", "purchase", "a", "s6", 1.0, 1.0),
]


def clean(rows: list[tuple] = ROWS) -> pl.LazyFrame:
    names = ("event_id", "user_id", "timestamp", "event_type", "item_id", "session_id", "price", "quantity")
    records = []
    for row in rows:
        record = {**dict.fromkeys(CLEAN_EVENTS), **dict(zip(names, row, strict=True)), "source": "drop"}
        record["timestamp"] = datetime.fromisoformat(f"2024-06-{row[2]}").replace(tzinfo=UTC)
        record["day"] = record["timestamp"].date()
        records.append(record)
    return pl.DataFrame(records, schema=CLEAN_EVENTS).lazy()


def write_days(folder: Path, events: pl.LazyFrame) -> dict[str, Path]:
    """A clean Parquet per day, as the chain keeps them; days that the events lack are taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for (day,), rows in events.collect().partition_by("day", as_dict=True).items():
        rows.write_parquet(folder / f"{day}.parquet")
    return {path.stem: path for path in folder.iterdir()}


def build(folder: Path, *segments: SegmentSpec, events: pl.LazyFrame | None = None,
          items: pl.DataFrame = ITEMS, users: pl.DataFrame | None = USERS, context: tuple[str, ...] = (),
          **config) -> dict[str, pl.DataFrame]:
    days = write_days(folder / "clean", clean() if events is None else events)
    made = build_features(folder / "features", days, Inputs(items, users, segments, context), FeatureConfig(**config))
    tables = {name: read_features(folder / "features", name).collect() for name in made}
    assert {name: table.height for name, table in tables.items()} == {name: about.rows for name, about in made.items()}
    return tables


def custom(where: str, name: str = "seg") -> SegmentSpec:
    return SegmentSpec(name=name, kind="custom", where=where)


def selected(tables: dict[str, pl.DataFrame]) -> list[str]:
    return tables["segment_events"]["event_id"].to_list()


def test_all_tables_have_their_schema_and_are_in_the_database(tmp_path: Path) -> None:
    tables = build(tmp_path, custom("true"))
    assert list(tables) == list(FEATURE_TABLES)
    with duckdb.connect(str(tmp_path / "features" / "features.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, contract in FEATURE_TABLES.items():
            assert tables[name].schema == pl.Schema(contract)
            assert connection.execute(f"FROM {name}").pl().equals(tables[name])
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == sorted(
        [".partials", "features.duckdb", *FEATURE_TABLES])


def test_item_features(tmp_path: Path) -> None:
    rows = build(tmp_path)["item_features"].sort("item_id", "day").rows()
    assert rows == [  # item, day, impressions, views, clicks, carts, purchases, users, quantity, revenue
        ("a", date(2024, 6, 3), 2, 0, 0, 0, 1, 1, 3.0, 6.0),
        ("a", date(2024, 6, 4), 0, 0, 0, 0, 1, 1, 1.0, 0.1),
        ("a", date(2024, 6, 5), 1, 0, 1, 0, 1, 1, 1.0, 1.0),
        ("a", date(2024, 6, 6), 1, 0, 0, 0, 1, 1, 1.0, 1.0),
        ("b", date(2024, 6, 4), 1, 0, 0, 0, 1, 1, 1.0, 0.2),
    ]


def test_interactions_are_sorted_positive_events(tmp_path: Path) -> None:
    table = build(tmp_path)["interactions"]
    assert table["event_id"].to_list() == ["p1", "p2", "p3", "c1", "p4", "p5"]
    without_b = build(tmp_path, items=ITEMS.filter(pl.col("item_id") != "b"))["interactions"]
    assert without_b["event_id"].to_list() == ["p1", "p2", "c1", "p4", "p5"]


def test_exposures_know_their_outcome_and_only_earlier_days(tmp_path: Path) -> None:
    table = build(tmp_path)["exposures"]
    known = table.select("event_id", "label", "user_item_purchases", "user_purchases", "item_purchases",
                         "item_impressions", "item_conversions").rows()
    assert known == [
        ("i1", 1, 0, 0, 0, 0, 0), ("i2", 0, 0, 0, 0, 0, 0), ("i3", 1, 0, 1, 0, 0, 0),
        ("i4", 0, 0, 0, 2, 2, 1), ("i5", 0, 2, 3, 3, 3, 1),
    ]


def test_without_purchases_a_click_is_the_outcome(tmp_path: Path) -> None:
    events = clean([row for row in ROWS if row[3] != "purchase"])
    assert build(tmp_path, events=events)["exposures"].filter(label=1)["event_id"].to_list() == ["i4"]
    assert build(tmp_path, outcome="click")["exposures"].filter(label=1)["event_id"].to_list() == ["i4"]


def test_a_conversion_counts_from_the_day_after_it_happens(tmp_path: Path) -> None:
    rows = [("i1", "u", "03T23:50", "impression", "a", "s", None, None),
            ("p1", "u", "04T00:10", "purchase", "a", "s", 1.0, 1.0),
            ("i2", "v", "04T12:00", "impression", "a", "t", None, None),
            ("i3", "v", "05T12:00", "impression", "a", "t2", None, None)]
    table = build(tmp_path, events=clean(rows))["exposures"].sort("event_id")
    assert table["label"].to_list() == [1, 0, 0]
    assert table["item_impressions"].to_list() == [0, 1, 2]
    assert table["item_conversions"].to_list() == [0, 0, 1]


def test_later_days_never_change_earlier_rows(tmp_path: Path) -> None:
    early = clean([row for row in ROWS if row[2] < "05"])
    before, after = build(tmp_path, events=early), build(tmp_path)
    keys = {"exposures": "event_id", "interactions": "event_id", "item_features": ["item_id", "day"]}
    for name, key in keys.items():
        same = before[name].select(key).join(after[name], on=key, how="left", maintain_order="left")
        assert before[name].equals(same.select(before[name].columns))


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    once, twice = build(tmp_path, custom("true")), build(tmp_path, custom("true"), events=clean(ROWS[::-1]))
    assert all(once[name].equals(twice[name]) for name in FEATURE_TABLES)


@pytest.mark.parametrize(("where", "ids"), [
    ("items.shelf = 'food'", ["p3"]), ("shelf = 'toys' AND income = 1", ["p1", "p2"]),
    ("users.income IS NULL", ["p5"]), ("events.event_type = 'click' -- only", ["c1"]),
    ("event_type = 'impression'", []), ("NULL", []), ("true OR false", ["p1", "p2", "p3", "c1", "p4", "p5"]),
])
def test_predicates(tmp_path: Path, where: str, ids: list[str]) -> None:
    assert selected(build(tmp_path, custom(where))) == ids


def in_stores() -> pl.LazyFrame:
    """The week, where p1 and p2 happened in store 1, p4 in store 2 on the app, c1 on the app, the others nowhere."""
    stores = {"p1": '{"store": "1"}', "p2": '{"store": "1"}', "p4": '{"channel": "app", "store": "2"}',
              "c1": '{"channel": "app"}'}
    return clean().with_columns(context=pl.col("event_id").replace_strict(stores, default=None, return_dtype=pl.String))


@pytest.mark.parametrize(("where", "ids"), [
    ("context.store = '1'", ["p1", "p2"]), ("context.store IS NULL", ["p3", "c1", "p5"]),
    ("context.channel = 'app' AND items.shelf = 'toys' AND users.income = 2", ["c1", "p4"]),
    ("context.page IS NOT NULL", []),  # declared, and never filled
])
def test_predicates_over_context(tmp_path: Path, where: str, ids: list[str]) -> None:
    names = ("store", "channel", "page")
    tables = build(tmp_path, custom(where), events=in_stores(), context=names)
    assert selected(tables) == ids
    assert tables["interactions"].filter(event_id="p4")["context"].item() == '{"channel": "app", "store": "2"}'
    assert tables["interactions"]["context"].null_count() == 2
    with pytest.raises(ShopError, match="segment 'seg'"):
        build(tmp_path, custom(where), events=in_stores())


def test_scenes_are_restricted_to_their_days_both_included(tmp_path: Path) -> None:
    scene = SegmentSpec(name="seg", kind="scene", where="shelf = 'toys' OR false",
                        start=date(2024, 6, 4), end=date(2024, 6, 5))
    assert selected(build(tmp_path, scene)) == ["p2", "c1", "p4"]


def test_new_users_come_after_the_opening_days_and_age(tmp_path: Path) -> None:
    rows = [(f"{user}{day}", user, f"{day:02d}T10:00", "purchase", "a", "s", 1.0, 1.0)
            for user, days in {"old": [1, 2, 9], "edge": [2, 9], "new": [3, 8, 9]}.items() for day in days]
    new = SegmentSpec(name="seg", kind="new_users", first_days=6)  # known from day 1 + 6 // 3 on
    assert selected(build(tmp_path, new, events=clean(rows))) == ["new3", "new8"]


def test_new_users_of_an_order_only_shop_are_first_events(tmp_path: Path) -> None:
    rows = [(f"{user}{n}", user, f"01T10:00:0{n}", "purchase", "a", "s", 1.0, 1.0)
            for user in "xy" for n in range(5)]
    tables = build(tmp_path, SegmentSpec(name="seg", kind="new_users"), events=clean(rows), order_only=True)
    assert selected(tables) == ["x0", "x1", "x2", "y0", "y1", "y2"]


def test_segments_are_sorted_by_name_within_a_day(tmp_path: Path) -> None:
    tables = build(tmp_path, custom("shelf = 'food'", "z"), custom("event_type != 'click'", "a"))
    assert tables["segment_events"].rows() == [("a", "p1"), ("a", "p2"), ("a", "p3"), ("z", "p3"), ("a", "p4"), ("a", "p5")]


@pytest.mark.parametrize(
    "where", ["users.age > 3", "CAST(shelf AS INTEGER) > 1", "count(*) > 1", "user_id = 'u'"])
def test_a_failing_predicate_names_its_segment(tmp_path: Path, where: str) -> None:
    with pytest.raises(ShopError, match="segment 'broken'"):
        build(tmp_path, custom("true", "fine"), custom(where, "broken"))


def test_without_users_a_predicate_over_them_fails_clearly(tmp_path: Path) -> None:
    assert selected(build(tmp_path, custom("shelf = 'food'"), users=None)) == ["p3"]
    with pytest.raises(ShopError, match="income"):
        build(tmp_path, custom("users.income = 1"), users=None)


@pytest.mark.parametrize(("change", "message"), [
    ({"items": pl.concat([ITEMS, ITEMS.head(1)])}, "item_id 'a' is repeated"),
    ({"users": pl.concat([USERS, USERS.tail(1)])}, "user_id 'v' is repeated"),
    ({"events": clean([*ROWS, ROWS[1]])}, "event_id 'p1' is repeated"),
    ({"events": clean([])}, "no data"),
])
def test_broken_tables_leave_the_published_ones_as_they_were(tmp_path: Path, change: dict, message: str) -> None:
    build(tmp_path)
    before = folder_hash(tmp_path / "features" / "interactions")
    with pytest.raises(DataError, match=message):
        build(tmp_path, **change)
    assert folder_hash(tmp_path / "features" / "interactions") == before


def test_events_that_nobody_can_learn_from_are_refused(tmp_path: Path) -> None:
    shown = clean([row for row in ROWS if row[3] in ("impression", "search")])
    with pytest.raises(DataError, match=r"no view, click, add_to_cart, purchase, rating or review .* 5 impression, 1 search"):
        build(tmp_path, events=shown)
    assert [path.name for path in (tmp_path / "features").iterdir()] == [".partials"]


def test_a_table_that_was_never_made_is_missed_clearly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="materialize exposures first"):
        read_features(tmp_path, "exposures")


def test_a_full_disk_leaves_the_old_tables(tmp_path: Path) -> None:
    before = build(tmp_path)
    many = clean([(f"x{n}", f"u{n}", "03T10:00", "purchase", "a", f"s{n}", 1.0, 1.0) for n in range(60_000)])
    days = write_days(tmp_path / "clean", many)
    with files_at_most(2**17), pytest.raises((OSError, pl.exceptions.PolarsError), match="too large"):
        build_features(tmp_path / "features", days, Inputs(ITEMS, USERS, ()), FeatureConfig())
    for name, table in before.items():
        assert read_features(tmp_path / "features", name).collect().equals(table)
    assert build(tmp_path, events=many)["interactions"].height == 60_000
