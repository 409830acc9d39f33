"""The release log: every verdict, every person's decision and every move of the champion, one JSON line each.

Lines are only ever appended. What holds now (who was champion, what waits for a person, what must not come back) is
read from them, so that it cannot disagree with what was logged.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

log = logging.getLogger(__name__)
LOG = "log.jsonl"
Outcome = Literal["passed", "unchanged", "held", "refused", "broken"]
WAITING: dict[str, str] = {"held": "held", "refused": "refused", "broken": "refused"}  # outcome → what the review list calls it
ROLLED_BACK = "rolled back"


class Entry(BaseModel, frozen=True, extra="forbid"):
    """One line."""

    at: str = Field(description="UTC, ISO 8601")
    what: Literal["judged", "approved", "rejected", "promoted", "rolled back", "rewritten"]
    bundle: str = Field(description="SHA-256 of its manifest; of a move or a rewriting, after it")
    content: str = Field(description="hash of what it answers with, whichever night built it")
    who: str = Field(description="the person, or night")
    why: str = Field("", description="their words")
    outcome: Outcome | None = Field(None, description="of a verdict")
    reasons: tuple[str, ...] = Field((), description="of a verdict, failures first")
    metrics: dict[str, float | None] = Field({}, description="the challenger's on the gate rows; None where it is not finite")
    gains: dict[str, dict[str, float | int | None]] = Field({}, description="name → a paired difference, as `Interval.to_json`")
    champion: str = Field("", description="manifest hash of the champion before it; of a rewriting, the bundle; empty: none")
    run: str = Field("", description="the run that judged")


@dataclass(frozen=True)
class ReleaseLog:
    """All entries, oldest first, and what follows from them."""

    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, folder: Path) -> ReleaseLog:
        """Read a folder's log; a line that a killed writer left unfinished is left out, so what it would have said never held.

        Where a bundle was rewritten without a shopper, what was said of the old one holds for the new one.
        """
        try:
            lines = (folder / LOG).read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        found: list[Entry] = []
        for one in _entries(lines, folder / LOG):
            if one.what == "rewritten":
                found = [_renamed(entry, one) for entry in found]
            found.append(one)
        return cls(tuple(found))

    def verdict(self, bundle: str) -> Entry | None:
        """The newest verdict on a bundle."""
        return next((one for one in reversed(self.entries) if one.what == "judged" and one.bundle == bundle), None)

    def passed(self, bundle: str) -> bool:
        """Whether a bundle may serve: a verdict passed it or a person approved it, and nobody rejected it since."""
        may = False
        for one in self.entries:
            if one.bundle == bundle and (one.what in ("approved", "rejected") or one.outcome in ("passed", "unchanged")):
                may = one.what != "rejected"
        return may

    def champions(self) -> list[str]:
        """The bundles that a rollback can reach, oldest first; the last one is champion. Each passed when it was promoted."""
        found: list[str] = []
        for one in self.entries:
            if one.what == "promoted":
                found = [*(bundle for bundle in found if bundle != one.bundle), one.bundle]
            elif one.what == ROLLED_BACK and one.bundle in found:
                found = found[:found.index(one.bundle) + 1]
        return found

    def barred(self) -> dict[str, str]:
        """Content → why it must not be promoted again unless a person approves it."""
        found: dict[str, str] = {}
        for one, left in self._moves():
            if one.what == ROLLED_BACK:
                found |= {content: f"this content was rolled back on {one.at[:10]}: {one.why}" for content in left}
                found.pop(one.content, None)
            elif one.what == "rejected":
                found[one.content] = f"{one.who} rejected this content on {one.at[:10]}: {one.why}"
            elif one.what == "approved":
                found.pop(one.content, None)
        return found

    def waiting(self) -> dict[str, Entry]:
        """Held, refused or rolled back → the verdict that a person may decide about; a newer one of its kind takes its place."""
        found: dict[str, Entry] = {}
        for one in self.entries:
            if one.what == "judged" and one.outcome in WAITING:
                found[WAITING[one.outcome]] = one
            elif one.what == "promoted":  # older challengers were compared with a champion that is none any more
                found = {kind: entry for kind, entry in found.items() if kind == ROLLED_BACK and entry.bundle != one.bundle}
            elif one.what == ROLLED_BACK and (verdict := self.verdict(one.champion)) is not None:
                found[ROLLED_BACK] = verdict
            if one.what in ("approved", "rejected"):
                found = {kind: entry for kind, entry in found.items() if entry.bundle != one.bundle}
        return found

    def _moves(self) -> Iterator[tuple[Entry, list[str]]]:
        """Every entry, a rollback with the contents that it left behind."""
        stack: list[tuple[str, str]] = []
        for one in self.entries:
            left: list[str] = []
            if one.what == "promoted":
                stack = [*(pair for pair in stack if pair[0] != one.bundle), (one.bundle, one.content)]
            elif one.what == ROLLED_BACK:
                place = [bundle for bundle, _ in stack].index(one.bundle) if one.bundle in dict(stack) else len(stack)
                left, stack = [content for _, content in stack[place + 1:]], stack[:place + 1]
            yield one, left


def append(folder: Path, entry: Entry) -> None:
    """Write one more line, through to the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "ab+") as handle:
        if handle.tell():  # what a killed writer left must not swallow this line
            handle.seek(-1, os.SEEK_END)
            torn = handle.read(1) != b"\n"
        else:
            torn = False
        handle.write(b"\n" * torn + entry.model_dump_json(exclude_defaults=True).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())


def _renamed(entry: Entry, rewritten: Entry) -> Entry:
    """An earlier entry as if the bundle had been what it is after a rewriting."""
    change = {"bundle": rewritten.bundle, "content": rewritten.content} if entry.bundle == rewritten.champion else {}
    return entry.model_copy(update=change | ({"champion": rewritten.bundle} if entry.champion == rewritten.champion else {}))


def _entries(lines: list[bytes], path: Path) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                yield Entry.model_validate_json(line)
        except ValidationError:
            log.warning("%s: line %d cannot be read and counts as never written", path, number)
