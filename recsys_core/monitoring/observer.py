"""What a service sees of its own answers: counts in the reference's bins, in constant memory, on disk for readers.

Each worker writes its own file per day, by rename, and readers add them up: no worker waits for another.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import file_hash, read_json, write_json
from recsys_core.errors import RecsysError
from recsys_core.monitoring.profile import BASE, Counts, Profiler, add_answer, empty_counts, read_reference, to_json
from recsys_core.serving import MANIFEST, Bundle, Recommendation

WRITE_EVERY = 30.0  # seconds between two writes of a busy worker


class Observer:
    """Counts the answers of one worker; thread-safe.

    Args:
        bundle: what is served.
        folder: where the counts are written, such as RECSYS_HOME/collected/monitor.
    """

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        reference = read_reference(bundle.folder)
        self._edges = {name: np.array(found) for name, found in reference["edges"].items()}
        self._segments: list[str] = reference["segments"]
        self._profiler, self._folder, self._bundle = Profiler(bundle), Path(folder), bundle_name(bundle.folder)
        self._lock, self._worker = threading.Lock(), f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._day, self._counts, self._written = _today(), empty_counts(self._edges, self._segments), time.monotonic()

    def observe(self, answers: Sequence[Recommendation], known: int, fallback: bool) -> None:
        """Count one answer; writes what was counted every half minute.

        Args:
            answers: best first.
            known: events of the history that was sent.
            fallback: something that was asked for was not given.
        """
        numbers = self._profiler.numbers(answers, known)
        segment = answers[0].segment or BASE if answers else BASE
        with self._lock:
            if _today() != self._day:
                self._write()
                self._day, self._counts = _today(), empty_counts(self._edges, self._segments)
            add_answer(self._counts, self._edges, self._segments, segment, numbers, fallback)
            if time.monotonic() - self._written >= WRITE_EVERY:
                self._write()

    def write(self) -> None:
        """Write what was counted so far; a service calls it before it ends."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / f"{self._day}-{self._worker}.json",
                   {"bundle": self._bundle, "day": str(self._day), "counts": to_json(self._counts)})


def bundle_name(folder: Path) -> str:
    """What tells one bundle from another: the beginning of its manifest's SHA-256."""
    return file_hash(Path(folder) / MANIFEST)[:16]


def read_observed(folder: Path, bundle: Path, days: int, today: date | None = None) -> Counts:
    """Add up what all workers counted of one bundle's answers.

    Args:
        folder: where the observers write.
        bundle: the bundle's folder.
        days: so many days up to today, UTC.
        today: None is the present day.

    Returns:
        segment → feature → counts; zeros where nothing was observed. Files of other bundles are left out.
    """
    reference, name, last = read_reference(bundle), bundle_name(bundle), today or _today()
    total = empty_counts(reference["edges"], reference["segments"])
    for path in sorted(Path(folder).glob("*.json")):
        try:
            found: dict[str, Any] = read_json(path)
            if found["bundle"] != name or not timedelta(0) <= last - date.fromisoformat(found["day"]) < timedelta(days):
                continue
            for segment, features in total.items():
                for feature, counts in features.items():
                    counts += np.array(found["counts"][segment][feature], np.int64)
        except (RecsysError, KeyError, TypeError, ValueError):  # a stranger's file beside ours
            continue
    return total


def _today() -> date:
    return datetime.now(UTC).date()
