"""What shoppers just did, and what several workers must agree on: in SQLite, which all processes of a machine share."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, Field

from recsys_core.collection.log import UNWANTED
from recsys_core.errors import RecsysError


class SessionConfig(BaseModel, frozen=True, extra="forbid"):
    """How much is remembered."""

    ttl_s: float = Field(2 * 86_400, gt=0, description="seconds that an event is remembered; by then the chain has ingested it")
    events_per_user: int = Field(100, ge=1, description="newest events kept of a shopper, and as many thumbs down")


class Sessions(Protocol):
    """Newest events by shopper, and notes by name; every worker sees what any worker wrote.

    No night ingests a thumb down, so it is kept until a later event of its item.
    """

    def add(self, user_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Remember events of a shopper: item_id, event_type and timestamp (seconds since the epoch)."""

    def newest(self, user_id: str) -> list[dict[str, Any]]:
        """A shopper's remembered events, oldest first."""

    def forget(self, user_id: str) -> None:
        """Forget all of a shopper, thumbs included."""

    def put(self, name: str, value: Any, ttl_s: float) -> None:
        """Keep a JSON value under a name for some seconds."""

    def get(self, name: str) -> Any:
        """The value under a name, None where there is none (any more)."""


class SqliteSessions:
    """`Sessions` in one file beside the event log; its loss costs thumbs down and what the last days' shoppers just did.

    Args:
        path: the database; made where it is missing.
        config: how much is remembered.
        clock: seconds since the epoch.

    Raises:
        RecsysError: the file cannot be opened as a database.
    """

    def __init__(self, path: Path, config: SessionConfig, clock: Callable[[], float] = time.time) -> None:
        self.config, self.clock = config, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may lose the newest events here; the event log has them.
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE IF NOT EXISTS events (user_id TEXT NOT NULL, at REAL NOT NULL, "
                                   "item_id TEXT NOT NULL, event_type TEXT NOT NULL, kept REAL NOT NULL)")
            self._database.execute("CREATE INDEX IF NOT EXISTS by_user ON events (user_id, at)")
            self._database.execute("CREATE INDEX IF NOT EXISTS by_age ON events (kept)")
            self._database.execute("CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL, "
                                   "until REAL NOT NULL)")
        except sqlite3.Error as error:
            raise RecsysError(str(path), f"cannot be opened ({error})", "remove it; only sessions are lost") from None

    def add(self, user_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        now = self.clock()
        rows = [(user_id, float(one["timestamp"]), one["item_id"], one["event_type"],
                 math.inf if one["event_type"] == UNWANTED else now) for one in events]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                self._database.execute("DELETE FROM events WHERE user_id = ? AND at <= ? AND item_id = ? AND event_type = ?",
                                       (*row[:3], UNWANTED))
                self._database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
            for thumbs in (False, True):
                self._database.execute(
                    "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE user_id = ? AND (event_type = ?) = ? "
                    "ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?)", (user_id, UNWANTED, thumbs, self.config.events_per_user))
            self._database.execute("DELETE FROM events WHERE kept <= ?", (now - self.config.ttl_s,))
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def newest(self, user_id: str) -> list[dict[str, Any]]:
        rows = self._database.execute("SELECT item_id, event_type, at FROM events WHERE user_id = ? AND kept > ? "
                                      "ORDER BY at, rowid", (user_id, self.clock() - self.config.ttl_s)).fetchall()
        return [{"item_id": item, "event_type": kind, "timestamp": at} for item, kind, at in rows]

    def forget(self, user_id: str) -> None:
        self._database.execute("PRAGMA secure_delete = ON")
        self._database.execute("DELETE FROM events WHERE user_id = ?", (user_id,))
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def put(self, name: str, value: Any, ttl_s: float) -> None:
        now = self.clock()
        self._database.execute("DELETE FROM notes WHERE until <= ?", (now,))
        self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (name, json.dumps(value), now + ttl_s))

    def get(self, name: str) -> Any:
        row = self._database.execute("SELECT value FROM notes WHERE name = ? AND until > ?", (name, self.clock())).fetchone()
        return None if row is None else json.loads(row[0])
