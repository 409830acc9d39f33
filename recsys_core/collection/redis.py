"""`Sessions` in Redis, for workers on several machines; needs the extra `redis`."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsys_core.collection.log import UNWANTED
from recsys_core.collection.sessions import SessionConfig
from recsys_core.errors import RecsysError

TIMEOUT_S = 1.0  # a shopper's list must not wait longer for what the shopper just did


class RedisSessions:
    """`Sessions` in a Redis, under keys that begin with `recsys:`.

    Args:
        client: a `redis.Redis`.
        config: how much is remembered.
        clock: seconds since the epoch.
    """

    def __init__(self, client: Any, config: SessionConfig, clock: Callable[[], float] = time.time) -> None:
        self.client, self.config, self.clock = client, config, clock

    @classmethod
    def connect(cls, url: str, config: SessionConfig) -> RedisSessions:
        """Sessions in the Redis at a URL.

        Raises:
            RecsysError: the library is missing, or the URL is none. A server that does not answer is told by the first request.
        """
        try:
            import redis
        except ImportError:
            raise RecsysError("sessions", "lack the library redis", "pip install 'fewshot-recsys[redis]'") from None
        try:
            return cls(redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S), config)
        except ValueError as error:
            raise RecsysError("RECSYS_REDIS_URL", f"is no URL ({error})", "write redis://HOST:PORT/0") from None

    def add(self, user_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        key, thumbs, now = f"recsys:events:{user_id}", f"recsys:unwanted:{user_id}", self.clock()
        # Among equal times the order of arrival counts, and equal events are two events.
        rows = {f"{now:017.6f}|{place:04d}|{uuid.uuid4().hex}|{json.dumps([one['item_id'], one['event_type']])}":
                float(one["timestamp"]) for place, one in enumerate(events) if one["event_type"] != UNWANTED}
        unwanted = before = {member.decode(): at for member, at in self.client.zrange(thumbs, 0, -1, withscores=True)}
        for one in events:
            item, at = one["item_id"], float(one["timestamp"])
            if unwanted.get(item, -math.inf) <= at:
                unwanted = {name: when for name, when in unwanted.items() if name != item}
                unwanted |= {item: at} if one["event_type"] == UNWANTED else {}
        with self.client.pipeline() as together:
            if rows:
                together.zadd(key, rows)
                together.zremrangebyrank(key, 0, -self.config.events_per_user - 1)
                together.expire(key, int(self.config.ttl_s) + 1)
            if gone := before.keys() - unwanted.keys():
                together.zrem(thumbs, *gone)
            if unwanted != before and unwanted:
                together.zadd(thumbs, unwanted)
                together.zremrangebyrank(thumbs, 0, -self.config.events_per_user - 1)
            together.execute()

    def newest(self, user_id: str) -> list[dict[str, Any]]:
        forgotten, found = self.clock() - self.config.ttl_s, []
        for member, at in self.client.zrange(f"recsys:events:{user_id}", 0, -1, withscores=True):
            kept, _, _, said = member.decode().split("|", 3)
            if float(kept) > forgotten:
                item, kind = json.loads(said)
                found.append({"item_id": item, "event_type": kind, "timestamp": at})
        found += [{"item_id": item.decode(), "event_type": UNWANTED, "timestamp": at}
                  for item, at in self.client.zrange(f"recsys:unwanted:{user_id}", 0, -1, withscores=True)]
        return sorted(found, key=lambda one: one["timestamp"])

    def forget(self, user_id: str) -> None:
        self.client.delete(f"recsys:events:{user_id}", f"recsys:unwanted:{user_id}")

    def put(self, name: str, value: Any, ttl_s: float) -> None:
        self.client.set(f"recsys:note:{name}", json.dumps([self.clock() + ttl_s, value]), px=int(1000 * ttl_s) + 1)

    def get(self, name: str) -> Any:
        found = self.client.get(f"recsys:note:{name}")
        until, value = json.loads(found) if found is not None else (0.0, None)
        return value if until > self.clock() else None
