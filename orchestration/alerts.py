"""Alerts: one small JSON per run that failed and per verdict that a person should see, posted to RECSYS_ALERT_URL.

    RECSYS_HOME/alerts/waiting/*.json    written first, removed once the receiver took it
    RECSYS_HOME/alerts/told.json         how much of the release log was told

A receiver that is away, slow or broken fails no run: what it did not take is posted again later. An alert names steps, checks,
bundles and fixes. It holds no row, no exception's message and no person's name. No log holds the URL: who knows it may post.
"""

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field, ValidationError

from assets.partitions import Home, shop_config
from recsys_core.artefacts import one_writer, read_json, write_json
from recsys_core.errors import RecsysError
from recsys_core.personal import mask_text
from recsys_core.release import NIGHT, ROLLED_BACK, Entry, Promoter, ReleaseLog

log = logging.getLogger(__name__)
VARIABLE = "RECSYS_ALERT_URL"
ATTEMPTS, PAUSE = 3, 0.5  # posts of one alert in a row; seconds before the second one, doubled before the third
AT_ONCE = 30.0  # seconds after which the rest waits: a tick may take 60
MOST_WAITING = 200  # alerts kept for a receiver that is away: the newest
NOT_WANTED = {400, 413, 415, 422}  # the receiver is there, and will never take this alert
OUR_ERROR = re.compile(r"recsys_core\.errors\.\w+: .*\. Fix: (.+)", re.DOTALL)
FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


class Alert(BaseModel, frozen=True, extra="forbid"):
    """What a person should see."""

    kind: str = Field(description="run failed, champion rolled back, or bundle held, refused or broken")
    what: str
    where: str = Field(description="the shop and the run")
    when: str = Field(description="UTC, ISO 8601")
    fix: str

    @property
    def key(self) -> str:
        """The same for the same alert: a receiver that answered too late may drop the second copy."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Webhook(dg.ConfigurableResource):
    """Where alerts go.

    Args:
        home: RECSYS_HOME. shop: its name. url: of the receiver; None: nobody is told. seconds: that one post may take.
    """

    home: str
    shop: str
    url: str | None = None
    seconds: float = 5.0

    def tell_failures(self, instance: dg.DagsterInstance, runs: Iterable[dg.DagsterRun]) -> str:
        """Tell of failed runs and of what still waits; what was done, in words."""
        return self._tell(lambda: [self._keep(failed_run(instance, run, self.shop)) for run in runs])

    def tell_verdicts(self) -> str:
        """Tell of every verdict since the last call that a person should see, and of what still waits; what was done, in words.

        The first call tells only of what waits for a person now.
        """
        return self._tell(self._keep_verdicts)

    def _tell(self, keep: Callable[[], Any]) -> str:
        if not self.url:
            _say_once()
            return f"No alerts: {VARIABLE} is unset."
        try:
            with one_writer(self._folder):
                keep()
                return self._deliver(self.url)
        except (OSError, RecsysError) as error:  # a full disk, a file that somebody broke: no reason to fail a run or a tick
            log.warning("alerts: %s", error)
            return f"Alerts wait: {type(error).__name__}."

    # --- what waits ---

    @property
    def _folder(self) -> Path:
        return Path(self.home) / "alerts"

    def _waiting(self) -> list[Path]:
        """Alerts that wait, oldest first; a killed writer leaves its half hidden."""
        return sorted((self._folder / "waiting").glob("[!.]*.json"))

    def _keep(self, alert: Alert) -> None:
        waiting = self._waiting()
        if not any(file.stem.endswith(alert.key) for file in waiting):
            number = int(waiting[-1].stem.split("-")[0]) + 1 if waiting else 1
            write_json(self._folder / "waiting" / f"{number:09}-{alert.key}.json", alert.model_dump())

    def _keep_verdicts(self) -> None:
        """Keep what is new in the release log; how much was read is noted after that, so a kill between both loses nothing."""
        entries, note = Promoter(Path(self.home)).log(), self._folder / "told.json"
        told = read_json(note)["entries"] if note.is_file() else None
        known = told is not None and told <= len(entries.entries)
        for entry in entries.entries[told:] if known else _undecided(entries):
            if (alert := verdict(entry, entries, self.shop)) is not None:
                self._keep(alert)
        if told != len(entries.entries):
            write_json(note, {"entries": len(entries.entries)})

    def _deliver(self, url: str) -> str:
        """Post what waits, oldest first, until the receiver fails or the time is up."""
        waiting = self._waiting()
        for old in waiting[:-MOST_WAITING]:
            log.warning("alert %s waited too long and is dropped", old.stem)
            old.unlink()
        waiting, told, end = waiting[-MOST_WAITING:], 0, time.monotonic() + AT_ONCE
        for file in waiting:
            if time.monotonic() > end or not self._post(url, file):
                break
            file.unlink()
            told += 1
        return f"{told} told, {len(waiting) - told} wait."

    # --- the wire ---

    def _post(self, url: str, file: Path) -> bool:
        """Whether the receiver took an alert, or will never take it."""
        try:
            alert = Alert.model_validate(read_json(file))
        except (RecsysError, ValidationError):
            log.error("alert %s is dropped: it cannot be read", file.stem)
            return True
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
            fault = _send(url, alert, self.seconds)
            if not fault:
                return True
            if fault in NOT_WANTED:
                log.error("alert %s is dropped: its receiver answered %s", alert.key, fault)
                return True
        log.warning("alert %s waits: its receiver answered %s", alert.key, fault)
        return False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected post would arrive as a request without its JSON, so a redirect counts as not taken."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _send(url: str, alert: Alert, seconds: float) -> int | str:
    """Post once; the status or the name of what went wrong, 0 for nothing."""
    if not url.startswith(("http://", "https://")):
        return "no http"
    headers = {"Content-Type": "application/json", "Idempotency-Key": alert.key, "User-Agent": "fewshot-recsys"}
    try:
        request = urllib.request.Request(url, alert.model_dump_json().encode(), headers, method="POST")
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds):
            return 0
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__  # its message may hold the URL


@cache
def _say_once() -> None:
    log.warning("%s is unset: nobody is told of failed runs and refused bundles", VARIABLE)


def make_webhook(home: Home) -> Webhook:
    """The resource; the URL is read from the environment when it is used, so that no page shows it."""
    return Webhook(home=home.folder, shop=shop_config.name, url=dg.EnvVar(VARIABLE) if os.environ.get(VARIABLE) else None)


# --- what is told ---

def failed_run(instance: dg.DagsterInstance, run: dg.DagsterRun, shop: str) -> Alert:
    """What a run failed in: its steps with the class of the error, and its checks. Messages stay behind: they may quote rows.

    Args:
        instance: where the run is recorded. run: that failed. shop: its name.
    """
    record, events = instance.get_run_record_by_id(run.run_id), instance.get_records_for_run(run.run_id, of_type=FAILURES).records
    found = [event.event_log_entry.dagster_event for event in events]
    checks = [one.asset_check_evaluation_data for one in found if one.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION]
    failed = [f"check {one.check_name} of {one.asset_key.to_user_string()}" for one in checks if not one.passed]
    fixes, steps = [], []
    for one in found:
        if one.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = _first_cause(one.step_failure_data.error)
            steps.append(f"step {one.step_key} ({error.cls_name if error else 'no reason given'})")
            fixes += [mask_text(fix[1].strip()) for fix in [OUR_ERROR.match(error.message if error else "")] if fix]
    ended = record.end_time if record is not None and record.end_time else time.time()
    return Alert(
        kind="run failed", what=f"{run.job_name} failed in {', '.join([*steps, *failed]) or 'no step: its process ended'}",
        where=_place(shop, run.run_id), when=datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        fix=fixes[0] if fixes else "read the run in Dagster; the next cycle begins where this one failed")


def _first_cause(error: Any) -> Any:
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def verdict(entry: Entry, entries: ReleaseLog, shop: str) -> Alert | None:
    """What a person should see of an entry of the release log; None for what needs nobody.

    Args:
        entry: of the log. entries: the whole log, whose people are not named. shop: its name.
    """
    if entry.what == ROLLED_BACK and entry.who == NIGHT:
        return Alert(kind="champion rolled back", when=entry.at, where=_place(shop, entry.run),
                     what=f"{entry.champion[:12]} gave its place back to {entry.bundle[:12]}: {entry.why}",
                     fix=f"look at {entry.champion[:12]} in `recsys review`")
    if entry.what != "judged" or entry.outcome not in ("held", "refused", "broken"):
        return None
    name, reason = entry.bundle[:12], _nameless(entry.reasons, entries.entries)
    fix = ("build it again: nobody can approve what could not be measured" if entry.outcome == "broken" else
           f"`recsys review`, then `recsys review {name} --approve --why TEXT`, or --reject")
    return Alert(kind=f"bundle {entry.outcome}", what=f"{name}: {reason}", where=_place(shop, entry.run), when=entry.at, fix=fix)


def _undecided(entries: ReleaseLog) -> list[Entry]:
    """The entries about what waits for a person now."""
    waiting = entries.waiting()
    back = waiting.pop(ROLLED_BACK, None)
    return [one for one in entries.entries if one in waiting.values()
            or (back is not None and one.what == ROLLED_BACK and one.champion == back.bundle)]


def _nameless(reasons: Sequence[str], entries: Sequence[Entry]) -> str:
    """The first reason; where it quotes a person, only that one decided."""
    said = {word for one in entries if one.who != NIGHT for word in (one.who, one.why) if word.strip()}
    reason = reasons[0] if reasons else "no reason was given"
    return mask_text(reason) if not any(word in reason for word in said) else "a person decided about this content before"


def _place(shop: str, run: str) -> str:
    return f"shop {shop}, run {run or 'unknown'}"
