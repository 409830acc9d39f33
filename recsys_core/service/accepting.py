"""Connections shared evenly among workers that accept on one socket.

A connection that is kept alive stays with its worker. The kernel deals connections by a hash, or to whoever wakes first: one
worker may get two in three, and its requests wait while another worker is idle.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
from collections.abc import Callable

from recsys_core.service.logs import LOGGER

log = logging.getLogger(LOGGER)
LEFT_S = 0.002  # how long a connection is left to a worker that has fewer
LEFT_TIMES = 5  # then whoever is awake takes it: the other may hang
FULL_S = 1.0  # pause where no more files can be opened


def shared_counts(workers: int) -> memoryview:
    """Open connections of every worker, as integers in memory that processes forked from this one share."""
    return memoryview(mmap.mmap(-1, 4 * workers)).cast("i")


class Acceptor:
    """Takes connections from a socket that other workers listen on, too.

    Args:
        listening: the socket.
        counts: see `shared_counts`.
        place: of this worker in `counts`.
        opened: how many connections this worker has.
        make_protocol: of a new connection.
    """

    def __init__(self, listening: socket.socket, counts: memoryview, place: int, opened: Callable[[], int],
                 make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self.counts, self.place, self._opened, self._make_protocol = counts, place, opened, make_protocol
        self._listening, self._loop, self._left = listening, asyncio.get_running_loop(), 0
        self._coming: set[asyncio.Task[object]] = set()
        self._waits: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self.count()
        self._loop.add_reader(listening, self._accept)

    def count(self) -> None:
        """Tell the others how many connections this worker has."""
        self.counts[self.place] = self._opened() + len(self._coming)

    def close(self) -> None:
        """Accept no more; connections that wait are left to others."""
        self._loop.remove_reader(self._listening)
        if self._waits is not None:
            self._waits.cancel()

    def _accept(self) -> None:
        self.count()
        if self.counts[self.place] > min(self.counts) and self._left < LEFT_TIMES:
            self._left += 1
            self._pause(LEFT_S)
            return
        self._left = 0
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the caller is gone
        except OSError as error:
            log.error("no connection can be accepted (%s)", error)
            self._pause(FULL_S)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make_protocol, connection))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)
        self.count()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._waits = self._loop.call_later(seconds, self._loop.add_reader, self._listening, self._accept)
