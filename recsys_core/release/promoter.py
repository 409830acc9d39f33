"""The one place that moves the champion: from stored verdicts and logged decisions, and back.

    RECSYS_HOME/champion                what serves
    RECSYS_HOME/release/log.jsonl       see `ReleaseLog`
    RECSYS_HOME/release/bundles/HASH    the champion, those before it, and what waits for a person

A move is logged before it is made. A move that a killed process logged and did not make is made by the next one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_core.artefacts import one_writer, publish_folder, read_json, staged_folder
from recsys_core.errors import BundleError, RequestError
from recsys_core.oversight import ReleaseSpec
from recsys_core.release.champion import CHAMPION, MANIFEST, RELEASE, manifest_hash
from recsys_core.release.log import ROLLED_BACK, Entry, Outcome, ReleaseLog, append
from recsys_core.serving import verify_bundle

if TYPE_CHECKING:  # judging needs the models; whoever only moves or serves a champion does not
    from recsys_core.deployment.champion import Judgement
    from recsys_core.release.nights import JudgedNights

log = logging.getLogger(__name__)
BUNDLES = "bundles"
NIGHT = "night"  # who decides where no person does
# What a manifest says of where a bundle comes from; everything else decides what it answers.
ORIGIN = ("files", "lineage", "licences", "metrics", "versions", "windows")
CARD = "README.md"  # it repeats the origin
LEAST = 6  # letters of a hash that name a bundle


class Promoter:
    """Moves the champion of one RECSYS_HOME.

    Args:
        home: RECSYS_HOME.
        config: whether a person must approve, and how many earlier champions are kept.
    """

    def __init__(self, home: Path, config: ReleaseSpec | None = None) -> None:
        self.home, self.config = Path(home), config or ReleaseSpec()
        self.champion, self._folder = self.home / CHAMPION, self.home / RELEASE

    def log(self) -> ReleaseLog:
        """What was logged so far."""
        return ReleaseLog.read(self._folder)

    def predecessor(self) -> Path | None:
        """The folder of the champion before this one; None where there is none, or it was not kept."""
        return self._kept(self._before())

    def settle(self, bundle: Path, judgement: Judgement, run: str = "", nights: JudgedNights | None = None) -> Entry:
        """Store the verdict on a night's bundle, and do what follows from it.

        A champion that was proven worse than its predecessor goes back first. A bundle that passed becomes champion, unless a
        person must approve it, its content was rolled back or rejected, or it answers exactly as the champion.

        Args:
            bundle: the challenger's folder.
            judgement: what `judge_bundle` found.
            run: who asked, for the log.
            nights: what `judge_nights` found; None: nobody looked.

        Returns:
            the verdict as it was stored.
        """
        with self._alone():
            compared = judgement.champion, judgement.predecessor
            if judgement.relapse and compared == (manifest_hash(self.champion), self._before()):
                self._go_back(judgement.predecessor, NIGHT, judgement.relapse)
            outcome, reasons = self._outcome(bundle, judgement)
            gains = judgement.gains
            if nights is not None:
                outcome, reasons = nights.bear_on(outcome, reasons)
                gains = gains | nights.gains
            entry = self._entry(
                "judged", manifest_hash(bundle), content_of(bundle), NIGHT, outcome=outcome, reasons=reasons, run=run,
                metrics={name: _finite(value) for name, value in judgement.metrics.items()},
                gains={name: {key: _finite(value) for key, value in gain.to_json().items()}
                       for name, gain in gains.items()})
            if outcome != "unchanged":
                self._keep(bundle, entry.bundle)
            append(self._folder, entry)
            if outcome == "passed":
                self._promote(entry.bundle, NIGHT, reasons[0] if reasons else "")
            self.champion.mkdir(parents=True, exist_ok=True)
            self._prune()
        return entry

    def roll_back(self, who: str, why: str, to: str | None = None) -> Entry:
        """Make an earlier champion champion again.

        Args:
            who: the person, for the log.
            why: their reason, for the log.
            to: first letters of its manifest's hash; None: the one before this.

        Returns:
            the move.

        Raises:
            RequestError: no such bundle is kept, or no reason is given.
        """
        _need_reason(why, "recsys rollback")
        with self._alone():
            earlier = self._reachable(self.log())[:-1]
            if not earlier:
                raise RequestError("recsys rollback", "no earlier champion is kept", "see `recsys review`")
            return self._go_back(_named(to, earlier, "recsys rollback") if to else earlier[-1], who, why)

    def decide(self, bundle: str, approve: bool, who: str, why: str) -> Entry:
        """Approve or reject what waits; what is approved becomes champion.

        Args:
            bundle: first letters of its manifest's hash.
            approve: or else reject.
            who: the person, for the log.
            why: their reason, for the log.

        Returns:
            the decision.

        Raises:
            RequestError: nothing of that name waits, no reason is given, or it is broken and cannot be approved.
        """
        _need_reason(why, "recsys review")
        with self._alone():
            waiting = {entry.bundle: entry for entry in self.log().waiting().values()}
            verdict = waiting[_named(bundle, list(waiting), "recsys review")]
            if approve and verdict.outcome == "broken":
                raise RequestError("recsys review", f"{verdict.bundle[:12]} is broken: {verdict.reasons[0]}",
                                   "build it again: nobody can approve what could not be measured")
            decided = self._entry("approved" if approve else "rejected", verdict.bundle, verdict.content, who, why)
            if approve:
                self._check(verdict.bundle)
            append(self._folder, decided)
            if approve:
                self._promote(verdict.bundle, who, why)
        return decided

    def follow_erasure(self) -> None:
        """Let the bundles that were rewritten without an erased shopper keep their verdicts under their new hashes."""
        with one_writer(self._folder):
            folder = self._folder / BUNDLES
            for kept in sorted(folder.iterdir()) if folder.is_dir() else ():
                now = manifest_hash(kept)
                if now and now != kept.name:
                    verify_bundle(kept)
                    append(self._folder, self._entry("rewritten", now, content_of(kept), NIGHT, "a shopper was erased",
                                                     champion=kept.name))
                    publish_folder(kept, folder / now)
            self._finish()

    # --- under the lock ---

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the release: a night and a person never move the champion at once."""
        with one_writer(self._folder):
            self._finish()
            yield

    def _finish(self) -> None:
        """Make the move that was logged last, where a killed process did not."""
        champions = self.log().champions()
        if champions and manifest_hash(self.champion) != champions[-1] and self._kept(champions[-1]) is not None:
            log.warning("champion: the logged move to %s was not made, or another bundle was put there; it is made now",
                        champions[-1][:12])
            self._publish(champions[-1])

    def _outcome(self, bundle: Path, judgement: Judgement) -> tuple[Outcome, tuple[str, ...]]:
        """The stored outcome: the gates' own verdict, or what keeps a passed one from being promoted now."""
        verdict, content, entries = judgement.verdict, content_of(bundle), self.log()
        if verdict.outcome in ("broken", "refused"):
            return verdict.outcome, verdict.reasons
        now, before = manifest_hash(self.champion), judgement.predecessor if judgement.relapse else judgement.champion
        if now != before:
            return "refused", (f"the champion is {now[:12] or 'none'} now, it was compared with {before[:12] or 'none'}",
                               *verdict.reasons)
        if content in (barred := entries.barred()):
            return "refused", (barred[content], *verdict.reasons)
        if now and content == content_of(self.champion) and entries.passed(now):
            return "unchanged", ("answers exactly as the champion does", *verdict.reasons)
        if verdict.outcome == "passed" and self.config.approval:
            return "held", ("a person must approve it", *verdict.reasons)
        return verdict.outcome, verdict.reasons

    def _promote(self, bundle: str, who: str, why: str) -> None:
        entries = self.log()
        if not entries.passed(bundle):
            raise BundleError(bundle[:12], "has no stored passing verdict", "judge it: materialize champion")
        verdict = entries.verdict(bundle)
        assert verdict is not None
        self._check(bundle)
        append(self._folder, self._entry("promoted", bundle, verdict.content, who, why))
        self._publish(bundle)

    def _go_back(self, bundle: str, who: str, why: str) -> Entry:
        verdict = self.log().verdict(bundle)
        self._check(bundle)
        entry = self._entry(ROLLED_BACK, bundle, verdict.content if verdict else "", who, why)
        append(self._folder, entry)
        self._publish(bundle)
        log.warning("champion: rolled back from %s to %s by %s: %s", entry.champion[:12], bundle[:12], who, why)
        return entry

    def _entry(self, what: str, bundle: str, content: str, who: str, why: str = "", **more: object) -> Entry:
        return Entry.model_validate({
            "at": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, "bundle": bundle, "content": content, "who": who,
            "why": why, "champion": manifest_hash(self.champion)} | more)

    # --- kept bundles ---

    def _kept(self, bundle: str) -> Path | None:
        folder = self._folder / BUNDLES / bundle
        return folder if bundle and manifest_hash(folder) == bundle else None

    def _reachable(self, entries: ReleaseLog) -> list[str]:
        """The champion and the earlier ones that are still there."""
        champions = entries.champions()
        return [one for one in champions if one == champions[-1] or self._kept(one) is not None]

    def _before(self) -> str:
        """The champion before this one, "" for none."""
        return ["", *self._reachable(self.log())[:-1]][-1]

    def _keep(self, bundle: Path, name: str) -> None:
        if self._kept(name) is None:
            with staged_folder(self._folder / BUNDLES / name) as staging:
                shutil.copytree(bundle, staging, dirs_exist_ok=True)

    def _check(self, bundle: str) -> None:
        """See that a kept bundle is there and whole, before a move to it is logged."""
        folder = self._kept(bundle)
        if folder is None:
            raise BundleError(bundle[:12], "is not kept any more", "promote another one")
        verify_bundle(folder)

    def _publish(self, bundle: str) -> None:
        with staged_folder(self.champion) as staging:
            shutil.copytree(self._folder / BUNDLES / bundle, staging, copy_function=_link, dirs_exist_ok=True)

    def _prune(self) -> None:
        """Remove what no rollback and no decision can ask for."""
        entries, folder = self.log(), self._folder / BUNDLES
        wanted = {*self._reachable(entries)[-1 - self.config.keep:], *(one.bundle for one in entries.waiting().values())}
        for one in folder.iterdir() if folder.is_dir() else ():
            if one.name not in wanted:
                shutil.rmtree(one, ignore_errors=True)


def content_of(folder: Path) -> str:
    """SHA-256 of what a bundle answers with: the same for two nights that built the same."""
    manifest = read_json(folder / MANIFEST)
    files = {name: entry["sha256"] for name, entry in manifest["files"].items() if name != CARD}
    said = {key: value for key, value in manifest.items() if key not in ORIGIN}
    return hashlib.sha256(json.dumps([said, files], sort_keys=True).encode()).hexdigest()


def _named(letters: str, bundles: list[str], command: str) -> str:
    found = [one for one in bundles if one.startswith(letters.lower())]
    if len(letters) < LEAST or len(found) != 1:
        raise RequestError(command, f"{letters!r} names {len(found)} of the {len(bundles)} bundles there are",
                           f"give {LEAST} letters or more of one of {', '.join(one[:12] for one in bundles) or 'none'}")
    return found[0]


def _need_reason(why: str, command: str) -> None:
    if not why.strip():
        raise RequestError(command, "no reason is given", "say it: --why TEXT")


def _link(source: str, target: str) -> None:
    """A second name for a file of a bundle, which is never changed in place; a copy where the disk has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _finite(value: float | int | None) -> float | int | None:
    return value if value is not None and math.isfinite(value) else None
