"""What the page needs to know of a shop before its first request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsys_core.artefacts import read_json
from recsys_core.errors import RequestError
from recsys_core.serving import GOLDEN, Bundle

VALUES = 200  # of a context's name, at most; a family may have ten thousand members


def describe_shop(bundle: Bundle) -> dict[str, Any]:
    """The shop's name and size, what a request may tell, its segments, and the bundle's sampled shoppers.

    Returns:
        shop, items, through (the newest day), context (name → values that a promoted family answers), segments (name →
        decision and reason), shelves, shoppers (name and history, from the golden requests), titles (of their items).
    """
    lineage = bundle.manifest["lineage"]
    shoppers = _shoppers(bundle)
    known = {item for one in shoppers for item in one["history"]}
    return {
        "shop": lineage.get("shop") or "Shop", "items": len(bundle.catalogue), "through": lineage.get("last_day"),
        "context": _context(bundle),
        "segments": {name: {"decision": one["decision"], "reason": one["reason"]} for name, one in bundle.segments.items()},
        "shelves": bundle.parts.shelves.names, "shoppers": shoppers,
        "titles": {item: item_fields(bundle, item, ("title",))["title"] for item in sorted(known)},
    }


def item_fields(bundle: Bundle, item_id: str, fields: Sequence[str]) -> dict[str, Any]:
    """Columns of the items table for one item; null where it says nothing.

    Raises:
        RequestError: a column that the items table lacks.
    """
    items, row = bundle.catalogue.items, bundle.catalogue.row_of.get(item_id)
    for name in fields:
        if name not in items.columns:
            raise RequestError("fields", f"items have no column {name[:40]!r}", f"use some of {', '.join(items.columns)}")
    # One value of a column, unlike a Polars expression, is read in this thread: it survives a fork.
    return {name: None if row is None else _plain(items[name][row]) for name in fields}


def _plain(value: Any) -> str | int | float | None:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _context(bundle: Bundle) -> dict[str, list[str]]:
    """Values of each context name that some promoted family answers."""
    found: dict[str, set[str]] = {}
    for name, members in bundle.parts.router.members.items():
        table, _, column = (bundle.segments[name]["by"] or "").partition(".")
        if table == "context":
            found.setdefault(column, set()).update(members)
    return {name: sorted(values)[:VALUES] for name, values in sorted(found.items())}


def _shoppers(bundle: Bundle) -> list[dict[str, Any]]:
    """The histories of the golden requests, each once, the shortest first; they name nobody."""
    asked = [golden["request"].get("history") or [] for golden in read_json(bundle.folder / GOLDEN)]
    histories = {tuple(event if isinstance(event, str) else event["item_id"] for event in history) for history in asked}
    ordered = sorted(histories, key=lambda history: (len(history), history))
    known = [[item for item in history if item in bundle.catalogue.row_of] for history in ordered]
    return [{"name": f"{len(history)} known events", "history": history} for history in known if history]
