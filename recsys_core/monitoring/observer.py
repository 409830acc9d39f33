"""What a service sees of its own answers: counts in the reference's bins, in constant memory, on disk for readers.

Each worker writes its own file per day, by rename, and readers add them up: no worker waits for another. A worker that begins
folds what ended workers left of finished days into one file a day, and removes what is older than any reader looks back.
"""

from __future__ import annotations

import fcntl
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

KEPT_DAYS = 90
STRANGE = (RecsysError, KeyError, TypeError, ValueError)  # what reading a stranger's file beside ours may raise
FOLDED = "all"  # in place of a worker's name
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
        try:
            _tidy(self._folder)
        except (OSError, *STRANGE) as error:
            log.warning("what was observed before cannot be tidied now: %s", error)

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
        except STRANGE:
            continue
    return total


def _tidy(folder: Path) -> None:
    """Fold the files of ended workers into one per finished day and bundle; remove those older than `KEPT_DAYS`.

    Raises:
        OSError: files cannot be written or removed. One of `STRANGE`: ours, but of another form.
    """
    if not folder.is_dir():
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)  # workers begin together: the others find nothing left to do
        ended: dict[tuple[str, str], list[Path]] = {}
        for path in sorted(folder.glob("????-??-??-*.json")):
            try:
                age, found = (_today() - date.fromisoformat(path.name[:10])).days, read_json(path)
                if age > KEPT_DAYS:
                    path.unlink()
                elif age > 0 and not _is_running(path):
                    ended.setdefault((found["day"], found["bundle"]), []).append(path)
            except STRANGE:
                continue
        for (day, bundle), paths in ended.items():
            _fold(folder / f"{day}-{FOLDED}-{bundle}.json", paths)
    finally:
        os.close(place)


def _fold(target: Path, paths: Sequence[Path]) -> None:
    """Add up files of one day and bundle into `target`, which may be one of them."""
    if list(paths) == [target]:
        return
    read = {path: read_json(path) for path in paths}
    already = {name for found in read.values() for name in found.get("folded", ())}  # a fold that was cut short before removing
    added = [found for path, found in read.items() if path.name not in already]
    total = {segment: {feature: np.sum([found["counts"][segment][feature] for found in added], axis=0).tolist()
                       for feature in features} for segment, features in added[0]["counts"].items()}
    names = sorted(path.name for path in paths if path != target)
    write_json(target, {**added[0], "counts": total, "folded": names})
    for name in names:
        (target.parent / name).unlink()


def _is_running(path: Path) -> bool:
    """Whether the process that wrote a file is still there."""
    number = path.name[11:].partition("-")[0]
    return number.isdigit() and Path(f"/proc/{number}").exists()


def _today() -> date:
    return datetime.now(UTC).date()
