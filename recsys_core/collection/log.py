"""The log of what shoppers do and what they were shown: one file of JSON lines per local day, many writers at once.

A batch is one `write` to a file that was opened for appending, so lines of several processes never mix. A row belongs to
the day on which it arrived: the files of finished days never change, and cleaning moves late events to the day they name.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from recsys_core.artefacts import staged_file
from recsys_core.errors import RecsysError
from recsys_core.personal import mask_text

EVENTS, EXPOSURES = "events", "exposures"
SOURCE = "service"
UNWANTED = "thumbs_down"  # no event of the shop contract: nights leave it out, sessions and daily lists obey it
FIELDS = ("event_id", "user_id", "timestamp", "event_type", "item_id", "query", "session_id", "price", "quantity", "rating",
          "review", "context", "position", "propensity", "request_id")


class EventLog:
    """Appends what happens to `events/DAY.jsonl` and `exposures/DAY.jsonl`.

    Args:
        folder: where the two folders lie; made when first written to.
        zone: the shop's time zone: days are its local days.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, zone: tzinfo, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.zone, self.clock = folder, zone, clock

    def add_events(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Append events.

        Args:
            rows: columns of `schema.RAW_EVENTS`; `timestamp` in seconds since the epoch (missing: now), `context` as a
                mapping. Personal data in `query` and `review` is masked. A missing event_id is made.

        Returns:
            the rows' event ids.

        Raises:
            RecsysError: the disk takes no more.
        """
        now = self.clock()
        written = [self._event(row, now) for row in rows]
        self._append(EVENTS, now, written)
        return [row["event_id"] for row in written]

    def add_exposures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append one answered list.

        Args:
            rows: one per experiment that it belongs to, or one: request_id, user_id, and items: rows of item_id, position
                (from 1), score and propensity; optionally session_id, context, query, experiment, variant and its
                propensity, and what else the caller wants to find again.

        Raises:
            RecsysError: the disk takes no more.
        """
        now = self.clock()
        self._append(EXPOSURES, now, [{"timestamp": _iso(now), **row} for row in rows])

    def _event(self, row: Mapping[str, Any], now: float) -> dict[str, Any]:
        found = {name: row[name] for name in FIELDS if row.get(name) is not None}
        for name in ("query", "review"):
            if name in found:
                found[name] = mask_text(found[name])
        if "context" in found:
            known = {name: value for name, value in found.pop("context").items() if value is not None}
            found |= {"context": json.dumps(known, sort_keys=True, ensure_ascii=False)} if known else {}
        found["event_id"] = found.get("event_id") or uuid.uuid4().hex
        found["timestamp"] = _iso(found.get("timestamp", now))
        return {**found, "source": SOURCE}

    def _append(self, kind: str, now: float, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        data = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
        path = self.folder / kind / f"{datetime.fromtimestamp(now, self.zone).date()}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            try:
                handle = os.open(path, flags, 0o640)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, flags, 0o640)
            try:
                if os.write(handle, data) < len(data):
                    os.write(handle, b"\n")  # ends the torn line, so that the next one can be read
                    raise OSError("the disk is full")
            finally:
                os.close(handle)
        except OSError as error:
            raise RecsysError(str(path), f"cannot be written ({error})", "make room, or name another folder") from None


def rewrite_lines(path: Path, change: Callable[[bytes], bytes | None]) -> int:
    """Replace a log in one rename; what a service appends meanwhile is read again.

    Args:
        path: one day's file.
        change: a line with its end → what takes its place; None: nothing.

    Returns:
        how many lines changed.
    """
    lines: list[bytes] = []
    kept: list[bytes | None] = []
    size = -1
    while size != path.stat().st_size:
        size = path.stat().st_size
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [change(line) for line in lines]
    changed = sum(before != after for before, after in zip(lines, kept, strict=True))
    if changed:
        with staged_file(path) as staging:
            staging.write_bytes(b"".join(line for line in kept if line is not None))
    return changed


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
