"""The supervisor: holds the socket, runs one generation of workers, and replaces it when there is a new bundle.

It loads no bundle and no Polars. The socket stays open across generations, so a connection always finds somebody who
accepts it: the old generation stops accepting only when the new one already does.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recsys_core.collection import POSTED_ITEMS
from recsys_core.errors import RecsysError
from recsys_core.service.generation import FAILED, READY, Order
from recsys_core.service.logs import LOGGER, SALT
from recsys_core.service.settings import ServiceSettings

log = logging.getLogger(LOGGER)
MANIFEST, EXPERIMENTS, RULES = "manifest.json", "experiments.yaml", "rules.yaml"
LOOK_EVERY_S = 0.5
START_LIMIT_S = 120.0  # a generation that is not ready by then is given up
LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass
class Generation:
    """A running generation.

    Args:
        mark: of its bundle, see `Supervisor`.
        ready: the pipe on which it reports.
        said: what it reported so far.
    """

    process: subprocess.Popen[bytes]
    mark: str
    ready: int
    began: float
    said: bytes = b""


class Supervisor:
    """Runs the service until it is told to end.

    Args:
        settings: of the service; its `bundle` is replaced by what `find_bundle` says.
        host: the address to listen on.
        port: where to listen; 0: any that is free.
        find_bundle: the folder to serve now; asked twice a second. A `RecsysError` of it leaves the old bundle serving.
        announce: called with the URL once the first list can be asked for.

    Raises:
        RecsysError: an address that cannot be listened on, or a first bundle that cannot be served.
    """

    def __init__(self, settings: ServiceSettings, host: str, port: int, find_bundle: Callable[[], Path],
                 announce: Callable[[str], None]) -> None:
        self.settings, self.find_bundle, self.announce = settings, find_bundle, announce
        self.socket = open_socket(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.socket.getsockname()[1]}"
        self.current: Generation | None = None
        self.coming: Generation | None = None
        self.leaving: list[Generation] = []
        self.refused = ""  # the mark of a bundle that could not be served
        self.unfit = ""  # why nothing may be served now, as far as it was told
        self.told: int | None = None
        self.again = False
        self._counts = tempfile.mkdtemp(prefix="recsys-metrics-")
        self._salt = os.environ.get(SALT) or secrets.token_hex(16)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP loads the bundle again."""
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._hear)
        try:
            self.coming = self._start()
            while self.told is None:
                watched = [wake, *([self.coming.ready] if self.coming else [])]
                if wake in select.select(watched, [], [], LOOK_EVERY_S)[0]:
                    os.read(wake, 4096)
                self._look()
        finally:
            self._end()

    def _hear(self, number: int, _: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.told = number
        elif number == signal.SIGHUP:
            self.again, self.refused = True, ""

    def _look(self) -> None:
        """See what has changed, and act on it."""
        self.leaving = [one for one in self.leaving if one.process.poll() is None]
        if self.coming is not None:
            self._watch_coming(self.coming)
        elif self.current is None or self.current.process.poll() is not None:
            log.error("the workers ended; they are started again")
            self.coming = self._start()
        else:
            mark = self._found()
            if mark and (self.again or mark not in (self.current.mark, self.refused)):
                self.again = False
                log.info("a new bundle: starting its workers")
                self.coming = self._start()

    def _found(self) -> str:
        """The mark of what should be served now; "" where nothing may, which leaves the old bundle serving."""
        try:
            mark, self.unfit = self._mark(self.find_bundle()), ""
        except RecsysError as error:
            mark = ""
            if self.unfit != str(error):
                log.error("the old bundle stays: %s", error)
            self.unfit = str(error)
        return mark

    def _watch_coming(self, coming: Generation) -> None:
        """Promote a generation whose workers all answer; give up one that failed."""
        if select.select([coming.ready], [], [], 0)[0]:
            coming.said += os.read(coming.ready, 4096)
        ready = coming.said == READY * self.settings.workers
        late = time.monotonic() > coming.began + START_LIMIT_S
        if not ready and not late and FAILED not in coming.said and coming.process.poll() is None:
            return
        self.coming = None
        os.close(coming.ready)
        if ready:
            first, old, self.current = self.current is None, self.current, coming
            if old is not None:
                old.process.send_signal(signal.SIGTERM)
                self.leaving.append(old)
            log.info("serving", extra={"fields": {"bundle": coming.mark[-12:], "pid": coming.process.pid}})
            if first:
                self.announce(self.url)
            return
        coming.process.kill()
        self.refused = coming.mark
        why = coming.said.partition(FAILED)[2].decode(errors="replace") or (
            "was not ready in time" if late else "ended before it was ready")
        if self.current is None:
            raise RecsysError("service", f"the bundle cannot be served: {why}", "see the lines above")
        log.error("the new bundle cannot be served, the old one stays: %s", why)

    def _start(self) -> Generation:
        folder = self.find_bundle()
        mark = self._mark(folder)
        ours, theirs = os.pipe()
        listening = self.socket.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "recsys_core.service.generation"], stdin=subprocess.PIPE, pass_fds=(listening, theirs),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then ends the others in order
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": self._counts, SALT: self._salt})
        os.close(theirs)
        order = Order(settings=self.settings.model_copy(update={"bundle": folder}), socket=listening, ready=theirs)
        assert process.stdin is not None
        try:
            process.stdin.write(order.model_dump_json().encode() + b"\n")
            process.stdin.flush()  # and left open: its end tells the generation that we are gone
        except BrokenPipeError:
            log.error("the workers could not be started")
        return Generation(process, mark, ours, time.monotonic())

    def _mark(self, folder: Path) -> str:
        """What tells one bundle from the next: its place, the hash of its manifest, and what is declared beside it; "" without
        a bundle."""
        digest = hashlib.sha256()
        home = self.settings.home
        for path in (home and home / EXPERIMENTS, self.settings.rules or (home and home / RULES),
                     self.settings.collect / POSTED_ITEMS):
            with suppress(OSError):
                digest.update(path.read_bytes() if path else b"")
            digest.update(b"\0")
        try:
            digest.update((folder / MANIFEST).read_bytes())
        except OSError:
            return ""
        return f"{folder}:{digest.hexdigest()}"

    def _end(self) -> None:
        running = [one.process for one in (self.current, self.coming, *self.leaving) if one is not None]
        for process in running:
            process.send_signal(self.told or signal.SIGTERM)
        until = time.monotonic() + self.settings.drain_s + self.settings.time_limit_s + 2
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        self.socket.close()
        shutil.rmtree(self._counts, ignore_errors=True)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RecsysError: the address is taken, or none of this machine's.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(2048)
    except OSError as error:
        found.close()
        raise RecsysError(f"{host}:{port}", f"cannot be listened on ({error})", "name another --port or --host") from None
    return found
