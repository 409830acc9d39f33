"""From a call's arguments to a request understood: who asks, when, about which items, and who adapts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys_core.adaptation.adapter import Adapter, check_lock
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
        now: seconds since the epoch, None where the caller gave no time. allowed: bool [N], None
            for every item. segment: whose adapter takes part. offsets: its named logits, float32 [N].
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
               adapter: Adapter | None = None) -> Request:
    """Read a call's arguments against a bundle; whatever is unknown is noted, not refused.

    Raises:
        RequestError: a time or a filter that makes no sense.
        AdapterError: an adapter made for another base.
    """
    if isinstance(history, str):
        raise RequestError("history", f"{history[:40]!r} is one text", "send a list of item ids")
    now = None if at is None else to_seconds(at)
    past = parse_history(history, parts.catalogue.row_of, now, parts.manifest["default_event_type"])
    allowed, missing = allowed_rows(parts.catalogue.items, parts.catalogue.row_of, candidates, filters)
    notes = [*past.ignored, missing]
    if adapter is not None:
        check_lock(f"adapter {adapter.segment}", adapter.lock, parts.manifest["lock"])
        chosen, offsets = adapter.segment, adapter.parts(parts.catalogue)
        if not any(part.any() for part in offsets.values()):
            notes.append(f"the adapter changes nothing ({adapter.settings.get('reason', 'it is zero')})")
    else:
        attributes, unknown = _attributes(parts.users, user_id, user, segment)
        situation = Situation(time.time() if now is None else now, allowed, attributes,
                              past.first_days_ago, past.steps)
        chosen, refusal = parts.router.resolve(segment, situation)
        notes += [unknown, refusal]
        offsets = parts.segment_offsets(chosen) if chosen else {}
    return Request(past, None if now is None else int(now), allowed, chosen, offsets,
                   tuple(note for note in notes if note))


def check_k(k: int) -> None:
    """Refuse a length that is no positive whole number."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise RequestError("request", f"k is {k!r}", "ask for at least one item")


def _attributes(users: pl.DataFrame | None, user_id: str | None, user: dict[str, Any] | None,
                segment: str | None) -> tuple[dict[str, Any], str | None]:
    """A shopper's attributes, where routing needs them; what the caller says comes first."""
    given = dict(user or {})
    if segment != "auto" or user_id is None or users is None:
        return given, None
    rows = users.filter(pl.col("user_id") == str(user_id))
    if not rows.height:
        return given, f"user {str(user_id)[:40]!r} is unknown: no attributes to route by"
    return {**rows.drop("user_id").row(0, named=True), **given}, None
