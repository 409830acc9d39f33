"""From a call's arguments to a request understood: who asks, when, about which items, and who adapts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from recsys_core.adaptation import Adapter, check_lock
from recsys_core.errors import RequestError
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import History, parse_history, to_seconds
from recsys_core.serving.routing import Situation
from recsys_core.serving.selection import allowed_rows

Event = str | dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request understood.

    Args:
        now: seconds since the epoch, None where the caller gave no time.
        allowed: bool [N], None for every item.
        segment: whose adapter takes part.
        offsets: named logits on top of the base's, float32 [N]: the adapter's, as far as it is trusted with so much
            history, and the promotions'.
        notes: what was asked for and not given, and what was ignored.
    """

    history: History
    now: int | None
    allowed: np.ndarray | None
    segment: str | None
    offsets: dict[str, np.ndarray]
    notes: tuple[str, ...]


def understand(parts: BundleParts, history: Sequence[Event], *, user_id: str | None = None,
               user: dict[str, Any] | None = None, at: Any = None, segment: str | None = None,
               candidates: Sequence[str] | None = None, filters: dict[str, Any] | None = None,
               adapter: Adapter | None = None, context: Mapping[str, str] | None = None,
               shelf: str | None = None) -> Request:
    """Read a call's arguments against a bundle; whatever is unknown is noted, not refused.

    Raises:
        RequestError: a time, a filter or a context that makes no sense.
        AdapterError: an adapter made for another base.
    """
    if isinstance(history, str):
        raise RequestError("history", f"{history[:40]!r} is one text", "send a list of item ids")
    now = None if at is None else to_seconds(at)
    today = parts.newest_day if now is None else parts.router.local_day(now)
    past = parse_history(history, parts.catalogue.row_of, now, parts.manifest["default_event_type"])
    known, strange = _known_context(context, parts.manifest["context"])
    allowed, missing = allowed_rows(parts.catalogue.items, parts.catalogue.row_of, candidates, filters)
    allowed, bare = _on_shelf(parts, shelf, today, allowed)
    notes = [*past.ignored, missing, strange, bare]
    chosen: str | None
    if adapter is not None:
        check_lock(f"adapter {adapter.segment}", adapter.lock, parts.manifest["lock"])
        chosen, offsets = adapter.segment, _scaled(adapter.parts(parts.catalogue), adapter.weight(past.steps))
        if not any(part.any() for part in offsets.values()):
            notes.append(f"the adapter changes nothing ({adapter.settings.get('reason', 'it is zero')})")
    else:
        asks = segment is not None and parts.router.reads_users(segment)
        attributes, unknown = _attributes(parts.users if asks else None, user_id, user)
        situation = Situation(time.time() if now is None else now, allowed, attributes, past.first_days_ago, past.steps,
                              known, None if user_id is None else str(user_id))
        chosen, member, refusal = parts.router.resolve(segment, situation)
        notes += [unknown, refusal]
        offsets = {}
        if chosen is not None:
            member_adapter, logits = parts.member(chosen, member)
            offsets = _scaled(logits, member_adapter.weight(past.steps))
    if parts.promotions is not None:
        offsets = offsets | parts.promotions.offsets(known, today, past.steps)
    return Request(past, None if now is None else int(now), allowed, chosen, offsets,
                   tuple(note for note in notes if note))


def _known_context(context: Mapping[str, str] | None, names: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """The declared names' values as text, and a phrase about names that the shop does not declare."""
    if context is not None and not isinstance(context, Mapping):
        raise RequestError("context", f"{str(context)[:40]!r} is no mapping", "send names with their values")
    given = {str(name): str(value).strip() for name, value in (context or {}).items() if value is not None}
    strange = sorted(given.keys() - set(names))
    note = f"{len(strange)} unknown context names ignored ({', '.join(strange[:3])})" if strange else None
    return {name: value for name, value in given.items() if name in names}, note


def _on_shelf(parts: BundleParts, shelf: str | None, today: date, allowed: np.ndarray | None
              ) -> tuple[np.ndarray | None, str | None]:
    """The allowed items that are on the shelf too, and why the shelf has no say where it has none."""
    if shelf is None:
        return allowed, None
    here, note = parts.shelves.allowed(str(shelf), today)
    return (allowed if here is None else here if allowed is None else allowed & here), note


def _scaled(logits: dict[str, np.ndarray], weight: float) -> dict[str, np.ndarray]:
    return logits if weight == 1 else {name: np.float32(weight) * part for name, part in logits.items()}


def check_k(k: int) -> None:
    """Refuse a length that is no positive whole number."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise RequestError("request", f"k is {k!r}", "ask for at least one item")


def _attributes(users: pl.DataFrame | None, user_id: str | None, user: dict[str, Any] | None
                ) -> tuple[dict[str, Any], str | None]:
    """A shopper's attributes; what the caller says comes first."""
    given = dict(user or {})
    if user_id is None or users is None:
        return given, None
    rows = users.filter(pl.col("user_id") == str(user_id))
    if not rows.height:
        return given, f"user {str(user_id)[:40]!r} is unknown: no attributes to route by"
    return {**rows.drop("user_id").row(0, named=True), **given}, None
