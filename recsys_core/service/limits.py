"""Rate limits that all workers of a machine share: token buckets in memory that was mapped before the fork."""

from __future__ import annotations

import mmap
import secrets
import struct
import time
from collections.abc import Callable
from hashlib import blake2b

SLOTS = 65_536  # two callers share a bucket with chance 1 in so many
_BUCKET = struct.Struct("dd")  # tokens, when they were counted


class TokenBuckets:
    """A bucket per caller: `rate` tokens a second flow in, up to `burst`, and a request takes one.

    Its memory is fixed, so strangers cannot fill it. Two workers may read one bucket at the same instant and both take
    its last token; the limit is that exact and no lock is held.

    Args:
        rate: tokens per second; 0: no limit.
        burst: most tokens of a bucket.
        clock: seconds, the same in all processes of a machine.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._salt = secrets.token_bytes(16)
        self._memory = mmap.mmap(-1, SLOTS * _BUCKET.size)

    def wait(self, caller: str) -> float:
        """Take a token: 0, or the seconds after which there will be one."""
        if not self.rate:
            return 0.0
        digest = blake2b(caller.encode("utf-8", "surrogateescape"), digest_size=4, key=self._salt).digest()
        place = int.from_bytes(digest, "big") % SLOTS * _BUCKET.size
        tokens, counted = _BUCKET.unpack_from(self._memory, place)
        now = self.clock()
        tokens = min(self.burst, tokens + (now - counted) * self.rate) if counted else self.burst
        if tokens < 1.0:
            return (1.0 - tokens) / self.rate
        _BUCKET.pack_into(self._memory, place, tokens - 1.0, now)
        return 0.0
