"""Items that were posted to the service: the newest row of each, in one file that every generation of workers reads."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import RecsysError

POSTED_ITEMS = "items.json"


class PostedItems:
    """The rows posted since the shop last delivered its items.

    Args:
        folder: of the collected files.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = folder / POSTED_ITEMS, clock

    def add(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep rows by item id, in place of earlier ones; the file is replaced whole.

        Raises:
            RecsysError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # other workers read, add and write, too
                now = self.clock()
                write_json(self.path, self._read() | {item: {"at": now, "row": dict(row)} for item, row in rows.items()})
        except OSError as error:
            raise RecsysError(str(self.path), f"cannot be written ({error})", "make room, or allow writing") from None

    def since(self, seconds: float, known: Mapping[str, int]) -> list[dict[str, Any]]:
        """Rows that a bundle lacks: posted after it was made, or of an item that it does not know.

        Args:
            seconds: when the bundle was made, since the epoch.
            known: its item ids.
        """
        return [one["row"] for item, one in sorted(self._read().items()) if one["at"] > seconds or item not in known]

    def _read(self) -> dict[str, Any]:
        return read_json(self.path) if self.path.exists() else {}
