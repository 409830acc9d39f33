"""From what a caller knows of a shopper to the ragged arrays a ranker reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recsys_core.arguments import is_missing, plain, read_id, show
from recsys_core.errors import RequestError
from recsys_core.interactions import MAX_HISTORY, SECONDS_PER_DAY, Histories
from recsys_core.schema import POSITIVE_EVENTS

TYPE_CODE = {name: code for code, name in enumerate(POSITIVE_EVENTS)}
# Years 2 to 9998: whatever the zone, the day has a date.
FIRST_SECOND, LAST_SECOND = -62_104_060_800.0, 253_370_764_800.0


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


def to_seconds(value: Any, zone: tzinfo = UTC) -> float:
    """Seconds since the epoch of a datetime, date, ISO 8601 text or number.

    Args:
        value: the time.
        zone: of a time that names none, as in the shop's files. Of two meanings in autumn it is the earlier; one that
            spring skips is as much later as the clock was put forward.

    Raises:
        RequestError: if it is none of these.

    >>> to_seconds("1970-01-02T00:00:00Z"), to_seconds("1970-01-01T01:00:00+01:00")
    (86400.0, 0.0)
    """
    moment = plain(value)
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment.strip())
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        if isinstance(moment, datetime):
            moment = (moment.replace(tzinfo=zone) if moment.utcoffset() is None else moment).timestamp()
        seconds = float(moment)
        if not isinstance(moment, bool) and FIRST_SECOND <= seconds < LAST_SECOND:
            return seconds
    except (TypeError, ValueError, OverflowError):
        pass
    raise RequestError("request", f"{show(value)} is no time", "give a datetime, ISO 8601 text or epoch seconds")


class _Entry(NamedTuple):
    """One event as the caller wrote it: an id or None, the type's name, and a time or None."""

    item: str | None
    kind: str
    time: Any


def _read_entry(event: Any, place: int, default_type: str) -> _Entry:
    if type(event) is str:
        return _Entry(event.strip() or None, default_type, None)
    where = f"history, entry {place}"
    if not isinstance(event, Mapping):
        return _Entry(read_id(event, where), default_type, None)
    kind, time = event.get("event_type"), event.get("timestamp")
    if is_missing(kind) or kind == "":
        kind = default_type
    elif not isinstance(kind, str):
        raise RequestError(where, f"event_type is {show(kind)}", f"use one of {', '.join(POSITIVE_EVENTS)}")
    return _Entry(read_id(event.get("item_id"), where), re.sub(r"[\s-]+", "_", kind.strip().lower()),
                  None if is_missing(time) else time)


def parse_history(events: Sequence[Any], row_of: Mapping[str, int], at: float | None, default_type: str,
                  zone: tzinfo = UTC) -> History:
    """Look up a caller's events; what is unknown or of no use is left out and named.

    Where every event has a timestamp, events that share one are one step and `days_ago` counts
    back from `at` (without `at`: from the newest event). Otherwise each event is its own step, of
    unknown age (0 days).

    Args:
        events: item ids, or mappings with item_id and optional event_type, timestamp; oldest first.
        row_of: the catalogue's.
        at: the request's time, seconds since the epoch.
        default_type: the positive event type of events that name none.
        zone: of times that name none.

    Raises:
        RequestError: an entry that is neither an id nor a mapping, or a time that is none.
    """
    entries = [_read_entry(event, place, default_type) for place, event in enumerate(events)]
    rows, types, times, unknown, unnamed, unused, future = [], [], [], [], 0, 0, 0
    untimed = sum(entry.time is None for entry in entries)
    timed = not untimed and len(entries) > 0
    for item, kind, time in entries:
        row = row_of.get(item) if item is not None else None
        seconds = to_seconds(time, zone) if timed else 0.0
        if kind not in TYPE_CODE:  # an impression or a search says nothing the ranker can use
            unused += 1
        elif item is None:
            unnamed += 1
        elif row is None:
            unknown.append(item[:40])
        elif timed and at is not None and seconds > at:
            future += 1
        else:
            rows.append(row)
            types.append(TYPE_CODE[kind])
            times.append(seconds)
    ignored = tuple(phrase for count, phrase in (
        (len(unknown), f"{len(unknown)} unknown item ids ignored ({', '.join(unknown[:3])})"),
        (unnamed, f"{unnamed} events ignored that name no item"),
        (unused, f"{unused} events ignored that are not one of {'/'.join(POSITIVE_EVENTS)}"),
        (future, f"{future} events ignored that lie after the request"),
        (0 < untimed < len(entries),
         f"times ignored: {untimed} of {len(entries)} events {'has' if untimed == 1 else 'have'} none")) if count)
    return arrange(rows, types, times if timed else None, at, ignored)


def arrange(rows: ArrayLike, types: ArrayLike, times: ArrayLike | None, at: float | None, ignored: tuple[str, ...]) -> History:
    """The newest `MAX_HISTORY` of L events of the catalogue as a history.

    Args:
        rows: int [L], of the catalogue; oldest first where there are no times.
        types: int [L], places in `schema.POSITIVE_EVENTS`.
        times: float [L], seconds since the epoch; None: unknown.
        at: the request's time; None: that of the newest event.
        ignored: see `History`.
    """
    items, kinds = np.array(rows, np.int32), np.array(types, np.int8)
    if times is None or not len(items):
        items, kinds = items[-MAX_HISTORY:], kinds[-MAX_HISTORY:]
        ago = np.arange(len(items) - 1, -1, -1, dtype=np.float32)
        return History(items, ago, np.zeros(len(items), np.float32), kinds, None, ignored)
    seconds = np.array(times, np.float64)
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
