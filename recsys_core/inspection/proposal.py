"""From the files of a folder to the fields of `shop.yaml` that describe them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.inspection.roles import DERIVED, EVENT_COLUMNS, ITEM_COLUMNS, event_type_of, match
from recsys_core.schema import EVENT_TYPES


@dataclass(frozen=True)
class Sample:
    """The beginning of a file.

    Args:
        path: the file.
        rows: as read.
        folder: of day drops, "" if it is none.
    """

    path: Path
    rows: pl.DataFrame
    folder: str = ""


@dataclass
class Proposal:
    """Fields for `shop.yaml`, the files behind the tables, and what the owner should know.

    Args:
        settings: fields of shop.yaml.
        tables: table → its sample.
        notes: one sentence each.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Sample] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def propose(samples: Sequence[Sample]) -> Proposal:
    """The most likely reading of a folder.

    Args:
        samples: its data files; of several drops one is enough.
    """
    found = Proposal()
    events, joins = _events_among(samples)
    if events is None:
        found.notes.append("No file has a shopper and an item in one row, and none leads to such rows by a shared key.")
        return found
    found.tables["events"] = events
    columns = list(dict.fromkeys(name for sample in (events, *(one for one, _ in joins)) for name in sample.rows.columns))
    matched = match(columns, EVENT_COLUMNS)
    mapping = {ours: theirs for ours, theirs in matched.items() if ours != theirs}
    if joins:
        found.settings["joins"] = [{"file": sample.path.name, "on": on} for sample, on in joins]
        found.notes.append(f"The events lack columns that lie in {', '.join(one.path.name for one, _ in joins)}: `joins` looks "
                           "them up. The other files are read whole for each events file.")
    _name_files(found, samples, events, [one for one, _ in joins])
    _time(found, matched, mapping)
    _types(found, matched, events)
    if mapping:
        found.settings.setdefault("columns", {})["events"] = mapping
    _tables(found, samples, matched, [events, *(one for one, _ in joins)])
    return found


def _events_among(samples: Sequence[Sample]) -> tuple[Sample | None, list[tuple[Sample, str]]]:
    """The file of events, and the files with on which column the shopper is found."""
    scored: list[tuple[int, Sample, list[tuple[Sample, str]]]] = []
    for sample in samples:
        matched = match(sample.rows.columns, EVENT_COLUMNS)
        thing = "item_id" in matched or "query" in matched
        if thing and "user_id" in matched:
            scored.append((3 + ("timestamp" in matched) + bool(sample.folder) + (sample.path.stem == "events"), sample, []))
        elif thing and "title" not in match(sample.rows.columns, ITEM_COLUMNS) and (joins := _ways(sample, samples)):
            scored.append((2, sample, joins))
    if not scored:
        return None, []
    best = max(score for score, _, _ in scored)
    _, events, joins = max((one for one in scored if one[0] == best), key=lambda one: one[1].path.stat().st_size)
    return events, joins


def _ways(events: Sample, samples: Sequence[Sample]) -> list[tuple[Sample, str]]:
    """From rows without a shopper to the file that has one, by a key; and on to the shopper's own file."""
    for other in samples:
        shared = [name for name in other.rows.columns if name in events.rows.columns and name.lower().endswith("id")]
        matched = match(other.rows.columns, EVENT_COLUMNS)
        if other is events or "user_id" not in matched or "item_id" in matched:
            continue
        for key in shared:
            if not other.rows[key].drop_nulls().is_duplicated().any():
                user = matched["user_id"]
                further = [(third, user) for third in samples if third not in (events, other) and user in third.rows.columns
                           and "customer_unique_id" in third.rows.columns]
                return [(other, key), *further[:1]]
    return []


def _name_files(found: Proposal, samples: Sequence[Sample], events: Sample, joined: Sequence[Sample]) -> None:
    """`files` or `day_drops`, where the name is not the contract's."""
    if events.folder:
        if events.folder != "events":
            found.settings["day_drops"] = events.folder
        return
    alike = [one for one in samples if set(one.rows.columns) == set(events.rows.columns) and one not in joined]
    if events.path.name.split(".")[0] != "events" or len(alike) > 1:
        pattern = events.path.name if len(alike) == 1 else _pattern([one.path.name for one in alike])
        found.settings.setdefault("files", {})["events"] = pattern


def _pattern(names: list[str]) -> str:
    """A glob that fits names: what they begin and end with."""
    head = next(names[0][:n] for n in range(min(map(len, names)), -1, -1) if len({name[:n] for name in names}) == 1)
    tail = next(names[0][len(names[0]) - n:] for n in range(min(map(len, names)) - len(head), -1, -1)
                if len({name[len(name) - n:] for name in names}) == 1)
    return f"{head}*{tail}"


def _time(found: Proposal, matched: dict[str, str], mapping: dict[str, str]) -> None:
    if "timestamp" in matched:
        mapping.pop("position", None)
        found.notes.append("Times without a zone are taken as UTC; set time_zone to the shop's own.")
        return
    found.settings["order_only"] = True
    found.notes.append("No column is a point in time, so the events only have an order"
                       + (f", by {matched['position']}." if "position" in matched else ": that of the rows."))


def _types(found: Proposal, matched: dict[str, str], events: Sample) -> None:
    """`event_types`, or one `event_type` for all."""
    if "event_type" in matched and matched["event_type"] in events.rows.columns:
        seen = events.rows[matched["event_type"]].cast(pl.String).drop_nulls().unique().sort().to_list()
        mapped = {word: event_type_of(word) for word in seen if word not in EVENT_TYPES}
        if known := {word: ours for word, ours in mapped.items() if ours}:
            found.settings["event_types"] = known
        if unknown := [word for word, ours in mapped.items() if ours is None]:
            found.notes.append(f"Event types that say nothing to us: {', '.join(unknown[:10])}. Translate them in event_types.")
        return
    kind = "review" if "review" in matched else "rating" if "rating" in matched else "purchase" if (
        {"price", "quantity", "session_id"} & set(matched)) else "view"
    found.settings["event_type"] = kind
    found.notes.append(f"No column says what happened; every event is taken for a {kind}.")


def _tables(found: Proposal, samples: Sequence[Sample], events: dict[str, str], used: list[Sample]) -> None:
    """Items and users: files of their own, else from the events."""
    for sample in samples:
        matched = match(sample.rows.columns, ITEM_COLUMNS)
        about_items = "item_id" in matched and {"title", "category", "description", "brand"} & set(matched)
        user = match(sample.rows.columns, {"user_id": EVENT_COLUMNS["user_id"]}).get("user_id")
        if sample in used or sample.folder or set(sample.rows.columns) == set(used[0].rows.columns):
            continue
        if about_items and not user and "items" not in found.tables:
            _name_table(found, "items", sample, {ours: theirs for ours, theirs in matched.items()})
            if "title" not in matched:
                found.settings.setdefault("columns", {}).setdefault("items", {})["title"] = ["title"]
                found.notes.append(f"{sample.path.name} has no titles; items are named by their category and brand.")
        elif user and "item_id" not in matched and not sample.rows[user].is_duplicated().any() and "users" not in found.tables:
            _name_table(found, "users", sample, {"user_id": user})
    if "items" not in found.tables:
        said = (events.get("event_type"), events.get("review"))
        derived = match([name for name in used[0].rows.columns if name not in said], DERIVED)
        found.settings["items_from_events"] = {"item_id": events["item_id"], **derived} if "item_id" in events else derived
        found.notes.append("No file describes the items; what the events say of them is taken"
                           + ("." if derived else ", which is nothing but their ids."))


def _name_table(found: Proposal, table: str, sample: Sample, matched: dict[str, str]) -> None:
    found.tables[table] = sample
    if sample.path.name.split(".")[0] != table:
        found.settings.setdefault("files", {})[table] = sample.path.name
    if mapping := {ours: theirs for ours, theirs in matched.items() if ours != theirs}:
        found.settings.setdefault("columns", {})[table] = mapping
