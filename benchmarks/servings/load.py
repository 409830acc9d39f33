"""A load generator: `python -m benchmarks.servings.load URL RATE SECONDS [CONNECTIONS]`, or as a function.

Open loop: request n is due at n / rate after the start, whatever became of the others, and its latency counts from when it
was due. A service that stalls is charged for every request that had to wait meanwhile (coordinated omission). A rate of 0
is a closed loop: every connection asks again as soon as it has its answer, which finds the most that a service can do.

Connections are kept alive and nothing is tried twice: a connection that breaks under a request is a failed request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Call:
    """One request: where to, and what it says."""

    path: str
    body: dict[str, Any]


@dataclass
class Load:
    """What happened.

    Args:
        seconds: how long it took. ms: latency of every answered request. statuses: answers by status; failed requests
            by the kind of failure.
    """

    seconds: float = 0.0
    ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Requests without a 200."""
        return sum(count for status, count in self.statuses.items() if status != "200")

    def quantile(self, share: float) -> float:
        """Latency in milliseconds that this share of the requests did not exceed."""
        return float(np.quantile(self.ms, share))


def press(url: str, calls: Sequence[Call], rate: float = 0.0, seconds: float = 10.0, connections: int = 16,
          requests: int | None = None) -> Load:
    """Send requests, the calls in turns.

    Args:
        rate: requests per second; 0: a closed loop.
        seconds: how long; requests: or how many.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_press(url, calls, rate, seconds, connections, requests))


async def _press(url: str, calls: Sequence[Call], rate: float, seconds: float, connections: int, requests: int | None) -> Load:
    place = urlsplit(url)
    raw = [_raw(call, f"{place.hostname}:{place.port}") for call in calls]
    load, number, began = Load(), itertools.count(), time.perf_counter()
    last = requests if requests is not None else int(rate * seconds) if rate else None

    async def ask() -> None:
        reader = writer = None
        while True:
            n = next(number)
            if (last is not None and n >= last) or (requests is None and time.perf_counter() - began > seconds + 30):
                break
            due = began + n / rate if rate else time.perf_counter()
            if last is None and due - began > seconds:
                break
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(place.hostname, place.port)
                writer.write(raw[n % len(raw)])
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(_header(head, b"content-length"))
                await reader.readexactly(length)
                load.statuses[head[9:12].decode()] += 1
                load.ms.append(1000 * (time.perf_counter() - due))
                if _header(head, b"connection") == b"close":
                    writer.close()
                    writer = None
            except (OSError, asyncio.IncompleteReadError) as error:
                load.statuses[type(error).__name__] += 1
                writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


def _raw(call: Call, host: str) -> bytes:
    body = json.dumps(call.body).encode()
    return (f"POST {call.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def _header(head: bytes, name: bytes) -> bytes:
    lower = head.lower()
    at = lower.find(b"\r\n" + name + b":")
    return lower[at + len(name) + 3:lower.index(b"\r\n", at + 2)].strip() if at >= 0 else b""


if __name__ == "__main__":
    found = press(sys.argv[1], [Call("/v1/recommend", {"k": 10})], float(sys.argv[2]), float(sys.argv[3]),
                  int(sys.argv[4]) if len(sys.argv) > 4 else 16)
    print(f"{sum(found.statuses.values())} requests in {found.seconds:.1f} s, {found.failed} failed; "
          + ", ".join(f"p{100 * share:g} {found.quantile(share):.2f} ms" for share in (0.5, 0.9, 0.99)))
