"""From what a caller knows of a shopper to the ragged arrays a ranker reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from recsys_core.errors import RequestError
from recsys_core.interactions import MAX_HISTORY, SECONDS_PER_DAY, Histories
from recsys_core.schema import POSITIVE_EVENTS

TYPE_CODE = {name: code for code, name in enumerate(POSITIVE_EVENTS)}


@dataclass(frozen=True)
class History:
    """One shopper's known events, oldest first.

    Args:
        items: int32 [L] catalogue rows.
        steps_ago: float32 [L], 0 for the newest step.
        days_ago: float32 [L], age at the request; 0 where unknown.
        event_type: int8 [L].
        first_days_ago: days since the oldest event; None where the caller gave no times.
        ignored: one phrase per kind of entry that was left out.
    """

    items: np.ndarray
    steps_ago: np.ndarray
    days_ago: np.ndarray
    event_type: np.ndarray
    first_days_ago: float | None
    ignored: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many steps (baskets, clicks) the history holds."""
        return int(self.steps_ago[0]) + 1 if len(self.items) else 0


def to_seconds(value: Any) -> float:
    """Seconds since the epoch of a datetime, date, ISO 8601 text or number; without a zone it is UTC.

    Raises:
        RequestError: if it is none of these.

    >>> to_seconds("1970-01-02T00:00:00Z"), to_seconds("1970-01-01T01:00:00+01:00")
    (86400.0, 0.0)
    """
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
        seconds = float(value)
        if math.isfinite(seconds) and abs(seconds) < 1e11:
            return seconds
    except (TypeError, ValueError, OverflowError):
        pass
    raise RequestError("request", f"{value!r} is no time", "give a datetime, ISO 8601 text or epoch seconds")


def parse_history(events: Sequence[str | dict[str, Any]], row_of: dict[str, int], at: float | None,
                  default_type: str) -> History:
    """Look up a caller's events; what cannot be used is left out and named, never an error.

    Where every event has a timestamp, events that share one are one step and `days_ago` counts
    back from `at` (without `at`: from the newest event). Otherwise each event is its own step, of
    unknown age (0 days).

    Args:
        events: item ids, or dicts with item_id and optional event_type, timestamp; oldest first.
        default_type: the positive event type of events that name none.
    """
    rows, types, times, unknown, unused, future = [], [], [], [], 0, 0
    timed = all(isinstance(e, dict) and e.get("timestamp") is not None for e in events) and len(events) > 0
    for event in events:
        item, kind, time = (event.get("item_id"), event.get("event_type"), event.get("timestamp")) \
            if isinstance(event, dict) else (event, None, None)
        kind = kind or default_type
        row = row_of.get(str(item)) if item is not None else None
        seconds = to_seconds(time) if timed else 0.0
        if kind not in TYPE_CODE:  # an impression or a search says nothing the ranker can use
            unused += 1
        elif row is None:
            unknown.append(str(item))
        elif timed and at is not None and seconds > at:
            future += 1
        else:
            rows.append(row)
            types.append(TYPE_CODE[kind])
            times.append(seconds)
    ignored = tuple(phrase for count, phrase in (
        (len(unknown), f"{len(unknown)} unknown item ids ignored ({', '.join(unknown[:3])})"),
        (unused, f"{unused} events ignored that are not one of {'/'.join(POSITIVE_EVENTS)}"),
        (future, f"{future} events ignored that lie after the request")) if count)
    return _arrange(rows, types, times if timed else None, at, ignored)


def _arrange(rows: list[int], types: list[int], times: list[float] | None, at: float | None,
             ignored: tuple[str, ...]) -> History:
    items, kinds = np.array(rows, np.int32), np.array(types, np.int8)
    if times is None or not rows:
        items, kinds = items[-MAX_HISTORY:], kinds[-MAX_HISTORY:]
        ago = np.arange(len(items) - 1, -1, -1, dtype=np.float32)
        return History(items, ago, np.zeros(len(items), np.float32), kinds, None, ignored)
    seconds = np.array(times)
    order = np.lexsort((items, seconds))[-MAX_HISTORY:]  # a basket has no order: by item, as in training
    items, kinds, seconds = items[order], kinds[order], seconds[order]
    step = np.cumsum(np.r_[0, np.diff(seconds) > 0])
    days = ((seconds[-1] if at is None else at) - seconds) / SECONDS_PER_DAY
    return History(items, (step[-1] - step).astype(np.float32), days.astype(np.float32), kinds,
                   float(days[0]), ignored)


def join_histories(histories: Sequence[History]) -> Histories:
    """n parsed histories as one ragged batch."""
    lengths = [len(h.items) for h in histories]
    empty = [np.zeros(0, np.float32)]
    return Histories(
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        np.concatenate([np.zeros(0, np.int32), *[h.items for h in histories]]),
        np.concatenate(empty + [h.steps_ago for h in histories]),
        np.concatenate(empty + [h.days_ago for h in histories]),
        np.concatenate([np.zeros(0, np.int8), *[h.event_type for h in histories]]))
