"""What a service sees of its own answers: counts in the reference's bins, in constant memory, on disk for readers.

Each worker writes its own file per day, by rename, and readers add them up: no worker waits for another.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import RecsysError
from recsys_core.monitoring.profile import BASE, Counts, Profiler, Reference, add_answer, empty_counts, to_json
from recsys_core.serving import Bundle, Recommendation

log = logging.getLogger(__name__)

WRITE_EVERY = 30.0  # seconds between two writes of a busy worker


class Observer:
    """Counts the answers of one worker; thread-safe.

    Args:
        bundle: what is served.
        folder: where the counts are written, such as RECSYS_HOME/collected/monitor.
    """

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._reference = Reference.of(bundle.manifest, bundle.parts.reference)
        self._profiler, self._folder = Profiler(bundle), Path(folder)
        self._lock, self._worker = threading.Lock(), f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._day, self._counts, self._written = _today(), empty_counts(self._reference), time.monotonic()

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
                self._day, self._counts = _today(), empty_counts(self._reference)
            add_answer(self._counts, self._reference, segment, numbers, fallback)
            if time.monotonic() - self._written >= WRITE_EVERY:
                self._write()

    def write(self) -> None:
        """Write what was counted so far; a service calls it before it ends."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / f"{self._day}-{self._worker}.json",
                       {"bundle": self._reference.name, "day": str(self._day), "counts": to_json(self._counts)})
        except OSError as error:  # a full disk must cost no answer; the counts stay, and are written next time
            log.warning("what was observed cannot be written now: %s", error)


def read_observed(folder: Path, reference: Reference, days: int, today: date | None = None) -> Counts:
    """Add up what all workers counted of one bundle's answers.

    Args:
        folder: where the observers write.
        reference: of the bundle.
        days: so many days up to today, UTC.
        today: None is the present day.

    Returns:
        segment → feature → counts; zeros where nothing was observed. Files of other bundles are left out.
    """
    last, total = today or _today(), empty_counts(reference)
    for path in sorted(Path(folder).glob("*.json")):
        try:
            found: dict[str, Any] = read_json(path)
            if found["bundle"] != reference.name or not timedelta(0) <= last - date.fromisoformat(found["day"]) < timedelta(days):
                continue
            for segment, features in total.items():
                for feature, counts in features.items():
                    counts += np.array(found["counts"][segment][feature], np.int64)
        except (RecsysError, KeyError, TypeError, ValueError):  # a stranger's file beside ours
            continue
    return total


def _today() -> date:
    return datetime.now(UTC).date()
