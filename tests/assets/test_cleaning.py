"""Trusted and set-aside events by day, the same whether a day is made alone or in a range."""

import json

import polars as pl

from recsys_core import schema
from tests.assets.runs import DAYS, materialize


def add_event(home, drop: str, **fields) -> None:
    """Append an event like the drop's first one, with other values."""
    path = home.path.parent / "shop" / "events" / f"{drop}.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    with open(path, "a") as file:
        file.write(json.dumps({**first, "session_id": None, **fields}) + "\n")


def ids(home, asset: str, day: str) -> set[str]:
    return set(pl.read_parquet(home.path / "clean" / asset / f"{day}.parquet")["event_id"])


def test_tables_keep_their_contract(made_home) -> None:
    home, _, _ = made_home
    events = pl.read_parquet(home.path / "clean" / "clean_events" / "*.parquet")
    assert dict(events.schema) == schema.CLEAN_EVENTS
    assert sorted(map(str, events["day"].unique())) == DAYS
    quarantined = pl.read_parquet(home.path / "clean" / "quarantined_events" / "*.parquet")
    assert dict(quarantined.schema) == schema.QUARANTINED_EVENTS
    items = pl.read_parquet(home.path / "clean" / "clean_items.parquet")
    assert list(items.columns[:len(schema.CLEAN_ITEMS)]) == list(schema.CLEAN_ITEMS)


def test_a_late_event_re_makes_its_day_and_a_later_one_is_set_aside(home) -> None:
    add_event(home, "2024-03-06", event_id="late", timestamp="2024-03-05T10:00:00Z")
    add_event(home, "2024-03-06", event_id="too-late", timestamp="2024-03-02T10:00:00Z")
    add_event(home, "2024-03-06", event_id="stranger", item_id="nowhere")
    result = materialize(home, "ingestion", "cleaning", days=DAYS[2:8], with_checks=False)
    assert "late" in ids(home, "clean_events", "2024-03-05")
    assert "late" not in ids(home, "clean_events", "2024-03-06")
    assert {"too-late", "stranger"} <= ids(home, "quarantined_events", "2024-03-06")
    shown = next(event.materialization.metadata for event in result.get_asset_materialization_events()
                 if event.asset_key.path == ["quarantined_events"])
    assert "| late | 1 |" in shown["reasons"].value and "| unknown_item | 1 |" in shown["reasons"].value


def test_a_day_made_again_alone_is_byte_for_byte_the_day_of_the_range(home) -> None:
    materialize(home, "ingestion", "cleaning", days=DAYS[:4], with_checks=False)
    file = home.path / "clean" / "clean_events" / "2024-03-02.parquet"
    before = file.read_bytes()
    file.unlink()
    materialize(home, "ingestion", "cleaning", days=["2024-03-02"], with_checks=False)
    assert file.read_bytes() == before
