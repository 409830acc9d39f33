"""One generation: a process that loads a bundle and never answers, and the workers it forks, which do.

The parent keeps the bundle as it was loaded, so a worker that dies is forked again from the same memory, and no worker
holds a copy of the vectors. The parent hears of its supervisor's end by the end of its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from recsys_core.errors import RecsysError
from recsys_core.service.accepting import Acceptor, shared_counts
from recsys_core.service.logs import LOGGER, start_logging
from recsys_core.service.settings import ServiceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_core.service.limits import TokenBuckets
    from recsys_core.service.treatments import Treatments
    from recsys_core.serving import Bundle

log = logging.getLogger(LOGGER)
READY, FAILED = b"r", b"x"
NEVER_SERVED = 3  # exit status of a worker that failed
QUICK_DEATH_S = 5.0  # a worker that dies sooner is replaced no faster than that


class Order(BaseModel, frozen=True, extra="forbid"):
    """What a supervisor tells a generation, as one line on its standard input."""

    settings: ServiceSettings
    socket: int = Field(description="file descriptor that listens")
    ready: int = Field(description="file descriptor on which every worker says READY, or the parent FAILED and why")


@dataclass(frozen=True)
class Loaded:
    """What the workers share."""

    order: Order
    treatments: Treatments
    buckets: TokenBuckets


def main() -> int:
    """Load the bundle, keep the workers running until told to end; the exit status."""
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    start_logging()
    try:
        loaded = _load(order)
    except RecsysError as error:
        os.write(order.ready, FAILED + str(error).encode())
        return 1
    return _Parent(loaded).run()


def _load(order: Order) -> Loaded:
    """Load the bundle, and what workers import meanwhile; see that it answers as it did where it was made.

    Raises:
        RecsysError: the bundle does not verify, load or answer as it should.
    """
    libraries = threading.Thread(target=lambda: __import__("recsys_core.service.app"))
    libraries.start()
    try:
        from recsys_core.answering import shop_rules
        from recsys_core.experiments import Experiments
        from recsys_core.service.treatments import Treatments

        home = order.settings.home
        bundle = _load_bundle(order.settings.bundle, order.settings.collect)
        experiments = Experiments.load(home) if home is not None else Experiments()
        others = {variant.bundle: _load_bundle(home / variant.bundle, order.settings.collect) for one in experiments.configs
                  for variant in one.variants if variant.bundle is not None and home is not None}
        treatments = Treatments(experiments, bundle, others, shop_rules(home, order.settings.rules))
    finally:
        libraries.join()
    from recsys_core.service.limits import TokenBuckets
    buckets = TokenBuckets(order.settings.requests_per_s, order.settings.burst)
    return Loaded(order, treatments, buckets)


def _load_bundle(folder: Path, collect: Path) -> Bundle:
    """A bundle that answers as when it was made, with the items that were posted since.

    Raises:
        RecsysError: it does not verify, load or answer as it should.
    """
    from recsys_core.collection import PostedItems
    from recsys_core.monitoring import self_test
    from recsys_core.pseudonyms import UserKeys
    from recsys_core.serving import MANIFEST, Bundle, read_items

    bundle = Bundle.load(folder)
    UserKeys.from_environment().check(bundle.manifest.get("user_key"), str(folder))
    bundle.parts.encoder  # noqa: B018  read now: when the first search comes, another bundle may lie in the folder
    if faults := self_test(bundle):
        raise RecsysError(str(folder), f"does not answer as when it was made ({'; '.join(faults)[:500]})",
                          "publish the bundle again")
    posted = []
    for row in PostedItems(collect).since((folder / MANIFEST).stat().st_mtime, bundle.catalogue.row_of):
        try:
            read_items(bundle.parts, [row])
            posted.append(row)
        except RecsysError as error:  # the shop's columns have changed; that must not keep a new bundle from serving
            log.error("a posted item is left out: %s", error)
    if posted:
        bundle = bundle.with_items(posted)
    parts = bundle.parts
    parts.columns, parts.prices, parts.prior, parts.items_of, parts.phrases, parts.lexical.letters  # noqa: B018  made here, once
    return bundle


class _Parent:
    """Forks workers, replaces those that die, and ends them when told to."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.workers: dict[int, tuple[int, float]] = {}  # process → its place among the workers, and when it began
        self.counts = shared_counts(loaded.order.settings.workers)
        self.ending: int | None = None  # the signal that was passed on
        self.alive, self._alive_here = os.pipe()  # ends with this process
        self._wake, self._waker = os.pipe()

    def run(self) -> int:
        gc.collect()
        gc.freeze()  # a collection in a worker must not touch, and so copy, what was loaded
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: self._end(got))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for place in range(self.loaded.order.settings.workers):
            self._fork(place)
        watched = [self._wake, sys.stdin.fileno()]
        while True:
            awake, _, _ = select.select(watched, [], [], 1.0)
            if self._wake in awake:
                os.read(self._wake, 4096)
            if sys.stdin.fileno() in awake and not os.read(sys.stdin.fileno(), 4096):
                watched.remove(sys.stdin.fileno())
                self._end(signal.SIGTERM)
            self._reap()
            if self.ending is not None and not self.workers:
                return 0

    def _end(self, number: int) -> None:
        self.ending = number
        for process in self.workers:
            os.kill(process, number)

    def _reap(self) -> None:
        while self.workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            _forget_gauges(process)
            place, began = self.workers.pop(process)
            if self.ending is None and os.waitstatus_to_exitcode(status) == NEVER_SERVED and self._report_failure():
                self._end(signal.SIGTERM)
            elif self.ending is None:
                log.error("worker %d ended (%d) and is replaced", process, os.waitstatus_to_exitcode(status))
                time.sleep(max(0.0, min(1.0, began + QUICK_DEATH_S - time.monotonic())))
                self._fork(place)

    def _report_failure(self) -> bool:
        """Tell the supervisor, if it still waits for this generation, that a worker could not begin."""
        try:
            os.write(self.loaded.order.ready, FAILED + b"a worker could not begin; its traceback is in the log")
        except BrokenPipeError:
            return False
        return True

    def _fork(self, place: int) -> None:
        process = os.fork()
        if process:
            self.workers[process] = place, time.monotonic()
            return
        status = NEVER_SERVED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for handle in (self._alive_here, self._wake, self._waker):
                os.close(handle)
            _work(self.loaded, place, self.counts, self.alive)
            status = 0
        except BaseException:
            log.exception("worker cannot serve")
        finally:
            os._exit(status)  # nothing of the parent's may be torn down here


def _forget_gauges(process: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(process)  # type: ignore[no-untyped-call]


def _work(loaded: Loaded, place: int, counts: memoryview, alive: int) -> None:
    """Answer until told to end."""
    import uvicorn

    from recsys_core.service.app import create_app

    class Worker(uvicorn.Server):
        """A server that ends slowly: it accepts no more, and every answer closes its connection.

        An idle connection may carry a request at the moment it is closed, and that request would be lost. So connections
        are left to their next answer, or to the end of `drain_s`.
        """

        drains_since: float | None = None
        acceptor: Acceptor

        def handle_exit(self, sig: int, frame: object) -> None:
            if sig == signal.SIGINT:
                self.should_exit = True
            self.drain()

        def drain(self) -> None:
            if self.drains_since is None:
                self.drains_since = time.monotonic()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup([])
            state, http = self.server_state, self.config.http_protocol_class
            self.acceptor = Acceptor(listening, counts, place, lambda: len(state.connections),
                                     lambda: http(self.config, state, self.lifespan.state))  # type: ignore[call-arg]
            asyncio.get_running_loop().add_reader(alive, self.drain)  # readable when the parent has ended
            with suppress(BrokenPipeError):  # of a worker that replaces another nobody waits to hear
                os.write(loaded.order.ready, READY)
            os.close(loaded.order.ready)

        async def on_tick(self, counter: int) -> bool:
            ends = await super().on_tick(counter)
            self.acceptor.count()
            if self.drains_since is None or ends:
                return ends
            asyncio.get_running_loop().remove_reader(alive)
            self.acceptor.close()
            return not self.server_state.connections or time.monotonic() > self.drains_since + settings.drain_s

    settings, listening = loaded.order.settings, socket.socket(fileno=loaded.order.socket)
    server: Worker
    app = create_app(settings, loaded.treatments, loaded.buckets, lambda: server.drains_since is not None)
    server = Worker(uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False, ws="none",
        timeout_keep_alive=75, timeout_graceful_shutdown=int(settings.time_limit_s) + 1, backlog=2048))
    gc.freeze()  # nor look at the app again: a request would wait for it
    server.run(sockets=[listening])
    app.measures.observer.write()


if __name__ == "__main__":
    sys.exit(main())
