"""From a call's arguments to a request understood: who asks, when, about which items, and who adapts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from recsys_core.adaptation import Adapter, check_lock
from recsys_core.answering import BoundRules
from recsys_core.arguments import is_missing, read_id, read_list, read_mapping, read_scalar, show
from recsys_core.errors import RequestError
from recsys_core.retrieval import Offsets, Scaled, scaled
from recsys_core.schema import as_text
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import History, arrange, parse_history, to_seconds
from recsys_core.serving.routing import Situation
from recsys_core.serving.selection import allowed_rows
from recsys_core.shoppers import KnownAttributes

Event = str | int | Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A request understood.

    Args:
        now: seconds since the epoch, None where the caller gave no time.
        allowed: bool [N], None for every item.
        segment: whose adapter takes part.
        offsets: what is added to the base's logits.
        notes: what was asked for and not given, and what was ignored.
        member: which of a family's members takes part; "": none, or a segment.
    """

    history: History
    now: int | None
    allowed: np.ndarray | None
    segment: str | None
    offsets: Offsets
    notes: tuple[str, ...]
    member: str = ""


def understand(parts: BundleParts, history: Any, *, user_id: Any = None, user: Any = None, at: Any = None,
               segment: Any = None, candidates: Any = None, filters: Any = None, adapter: Any = None, context: Any = None,
               shelf: Any = None) -> Request:
    """Read a call's arguments, as `Bundle.recommend` explains them; what is unknown is noted, what cannot be read is refused.

    Raises:
        RequestError: an argument of another kind; a time or a filter that makes no sense.
        AdapterError: an adapter made for another base.
    """
    now = None if at is None else to_seconds(at, parts.router.zone)
    today = parts.newest_day if now is None else parts.router.local_day(now)
    name = parts.name_of(read_user_id(user_id))
    past = _past(parts, history, name, now)
    known, strange = _known_context(context, parts.manifest["context"])
    allowed, limits = allowed_rows(parts.columns, parts.catalogue.row_of, candidates, filters)
    shelved, bare = _on_shelf(parts, read_id(shelf, "shelf"), today, allowed)
    if shelved is not None and not shelved.any() and (allowed is None or allowed.any()):
        limits.append("no item on the shelf is left by candidates and filters")
    elif allowed is not None and not allowed.any() and not limits:
        limits.append("no candidate matches the filters")
    notes, place = [*past.ignored, *limits, strange, bare], tuple(sorted(known.items()))
    chosen: str | None
    member = ""
    segment = read_id(segment, "segment")
    attributes = {key: read_scalar(value, f"user, {key!r}") for key, value in read_mapping(user, "user").items()}
    if adapter is not None:
        chosen, logits = _given_adapter(parts, adapter, past.steps, notes)
        offsets = Offsets(logits | parts.offsets(None, "", past.steps, place, today))
    else:
        asks = segment is not None and parts.router.reads_users(segment)
        attributes, unknown = _attributes(parts.users if asks else None, name, attributes)
        situation = Situation(time.time() if now is None else now, shelved, attributes, past.first_days_ago, past.steps,
                              known, name)
        chosen, member, refusal = parts.router.resolve(segment, situation)
        notes += [unknown, refusal]
        offsets = parts.offsets(chosen, member, past.steps, place, today)
    return Request(past, None if now is None else int(now), shelved, chosen, offsets, tuple(note for note in notes if note),
                   member)


def under_rules(request: Request, rules: Any) -> Request:
    """The request without the items that business rules forbid, and with their boosts as parts of the score.

    Raises:
        RequestError: rules that are not looked up yet.
    """
    if rules is None:
        return request
    if not isinstance(rules, BoundRules):
        raise RequestError("rules", f"{show(rules)} are none", "pass what Bundle.bind_rules returned")
    allowed = request.allowed
    if rules.banned is not None:
        allowed = ~rules.banned if allowed is None else allowed & ~rules.banned
    offsets = Offsets(request.offsets | scaled(rules.boosts)) if rules.boosts else request.offsets
    return replace(request, allowed=allowed, offsets=offsets)


def _past(parts: BundleParts, history: Any, user_id: str | None, now: float | None) -> History:
    """What is known of a shopper: what the caller says or, where that is nothing, what the bundle knows."""
    if is_missing(history) and user_id is not None and parts.histories is not None:
        known = parts.histories.of(user_id, now)
        if known is None:
            return arrange([], [], None, now, ("the user is unknown: no history",))
        return arrange(*known, now, ())
    return parse_history(read_history(history), parts.catalogue.row_of, now, parts.manifest["default_event_type"],
                         parts.router.zone)


def read_history(history: Any) -> list[Any]:
    """A caller's events as a list; a missing history is empty.

    Raises:
        RequestError: it is no list.
    """
    return [] if is_missing(history) else read_list(history, "history")


def _given_adapter(parts: BundleParts, adapter: Any, steps: int, notes: list[str | None]) -> tuple[str, dict[str, Scaled]]:
    """An adapter's segment and logits; notes that it changes nothing."""
    if not isinstance(adapter, Adapter):
        raise RequestError("adapter", f"{show(adapter)} is none", "pass what Bundle.adapt returned")
    check_lock(f"adapter {adapter.segment}", adapter.lock, parts.manifest["lock"])
    offsets = scaled(adapter.parts(parts.catalogue), adapter.weight(steps))
    if not any(part.weight and part.values.any() for part in offsets.values()):
        notes.append(f"the adapter changes nothing ({adapter.settings.get('reason', 'it is zero')})")
    return adapter.segment, offsets


def _known_context(context: Any, names: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """The declared names' values as text, and a phrase about names that the shop does not declare."""
    values = {name: read_scalar(value, f"context, {name!r}") for name, value in read_mapping(context, "context").items()}
    given = {name: text for name, value in values.items() if value is not None and (text := as_text(value))}
    strange = sorted(given.keys() - set(names))
    note = f"{len(strange)} unknown context names ignored ({', '.join(strange[:3])})" if strange else None
    return {name: value for name, value in given.items() if name in names}, note


def _on_shelf(parts: BundleParts, shelf: str | None, today: date, allowed: np.ndarray | None
              ) -> tuple[np.ndarray | None, str | None]:
    """The allowed items that are on the shelf too, and why the shelf has no say where it has none."""
    if shelf is None:
        return allowed, None
    here, note = parts.shelves.allowed(shelf, today)
    return (allowed if here is None else here if allowed is None else allowed & here), note


def read_user_id(user_id: Any) -> str | None:
    """A shopper's id as text; None where it is missing.

    Raises:
        RequestError: it is neither text nor a number.
    """
    name = read_id(user_id, "user_id")
    return None if name is None else read_scalar(name, "user_id")


def _attributes(users: KnownAttributes | None, user_id: str | None, given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A shopper's attributes; what the caller says comes first."""
    if user_id is None or users is None:
        return given, None
    known = users.of(user_id)
    if known is None:
        return given, "the user is unknown: no attributes to route by"
    return {**known, **given}, None
