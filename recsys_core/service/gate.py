"""Before and after every request: its id, who asks, how much and how often; its headers, its log line and its measures.

Who asks is decided before a byte of the body is read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException

from recsys_core.service.keys import find_key
from recsys_core.service.limits import TokenBuckets
from recsys_core.service.logs import LOGGER
from recsys_core.service.measures import Measures
from recsys_core.service.settings import Scope as KeyScope
from recsys_core.service.settings import ServiceSettings

log = logging.getLogger(LOGGER)
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TICKET = "recsys"  # the scope's entry
_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
           (b"cross-origin-resource-policy", b"same-origin"),
           (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
            b"form-action 'self'; frame-ancestors 'none'")]


@dataclass
class Ticket:
    """What is known of a request while it is answered.

    Args:
        fields: what its log line says beside the usual.
    """

    request_id: str
    holder: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An error's answer."""

    status: int
    artefact: str
    culprit: str
    fix: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


INTERNAL = Refusal(500, "service", "an internal fault", "tell the operator the request_id")


def error_body(refusal: Refusal, request_id: str) -> bytes:
    """The one form of all errors."""
    return json.dumps({"error": {"artefact": refusal.artefact, "culprit": refusal.culprit, "fix": refusal.fix,
                                 "request_id": request_id}}).encode()


class Gate:
    """The outermost layer of the app.

    Args:
        app: what answers.
        scopes: path → the scope that it needs, None: nobody is asked. Other paths below /v1 need `read`.
        buckets: rate limits.
        draining: whether this worker ends; its answers then close their connections.
    """

    def __init__(self, app: App, settings: ServiceSettings, scopes: Mapping[str, KeyScope | None], buckets: TokenBuckets,
                 measures: Measures, draining: Callable[[], bool]) -> None:
        self.app, self.settings, self.scopes = app, settings, scopes
        self.buckets, self.measures, self.draining = buckets, measures, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, headers = time.perf_counter(), dict(scope["headers"])
        ticket = scope[TICKET] = Ticket(_request_id(headers))
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers(scope, ticket)]
            await send(message)

        try:
            refusal = self._refuse(scope, headers, ticket)
            if refusal is None:
                async with asyncio.timeout(self.settings.time_limit_s):
                    await self.app(scope, self._limited(receive), answer)
        except TimeoutError:
            refusal = Refusal(504, "request", f"takes more than {self.settings.time_limit_s:g} s", "send less, or ask again")
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"], extra={"fields": {"request_id": ticket.request_id}})
            refusal = INTERNAL
        if refusal is not None and not status:
            await _send_refusal(answer, refusal, ticket)
        self._account(scope, ticket, status, time.perf_counter() - began)

    def _refuse(self, scope: Scope, headers: Mapping[bytes, bytes], ticket: Ticket) -> Refusal | None:
        """Why a request is not even looked at; None: it is."""
        path, keys = scope["path"], self.settings.keys
        needed = self.scopes[path] if path in self.scopes else "read" if path.startswith("/v1") else None
        if not keys and not _is_local(headers.get(b"host", b"")):
            return Refusal(403, "request", "names another host than localhost", "ask http://localhost, or set up API keys")
        if needed is not None and keys:
            key = find_key(_presented(headers), keys)
            if key is None:
                return Refusal(401, "API key", "is missing or unknown", "send Authorization: Bearer KEY",
                               ((b"www-authenticate", b"Bearer"),))
            ticket.holder = key.name
            if not key.allows(needed):
                return Refusal(403, "API key", f"lacks the scope {needed!r}", "use a key that has it")
        if needed is not None:
            wait = self.buckets.wait(ticket.holder or (scope.get("client") or ("local",))[0])
            if wait:
                return Refusal(429, "request", f"is one of more than {self.settings.requests_per_s:g} a second",
                               "wait as long as Retry-After says", ((b"retry-after", str(int(wait) + 1).encode()),))
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.settings.max_body:
            return Refusal(413, "body", f"has more than {self.settings.max_body:,} bytes", "send less at once",
                           ((b"connection", b"close"),))
        return None

    def _limited(self, receive: Receive) -> Receive:
        """The request's body, as long as it is short enough."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.settings.max_body:
                raise HTTPException(413, headers={"connection": "close"})
            return message

        return counted

    def _headers(self, scope: Scope, ticket: Ticket) -> list[tuple[bytes, bytes]]:
        more = [(b"x-request-id", ticket.request_id.encode()), *HEADERS]
        if scope["path"].startswith("/v1"):
            more.append((b"cache-control", b"no-store"))
        if self.draining():
            more.append((b"connection", b"close"))
        return more

    def _account(self, scope: Scope, ticket: Ticket, status: int, seconds: float) -> None:
        """A request's measures and its log line."""
        path = scope["path"]
        endpoint = path if path in self.scopes else "other"
        self.measures.requests.labels(endpoint, str(status)).inc()
        self.measures.seconds.labels(endpoint).observe(seconds)
        log.info("request", extra={"fields": {
            "request_id": ticket.request_id, "method": scope["method"], "path": path[:200], "status": status,
            "ms": round(1000 * seconds, 2), "key": ticket.holder, **ticket.fields}})


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's id where it is harmless, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex


def _presented(headers: Mapping[bytes, bytes]) -> str:
    """The key that a request shows, "" for none."""
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" else headers.get(b"x-api-key", b"").decode("latin-1").strip()


def _is_local(host: bytes) -> bool:
    """Whether a Host header names this machine: another name is a page elsewhere that was made to point here."""
    name = host.decode("latin-1").lower()
    return any(name == local or name.startswith(local + ":") for local in LOCAL_HOSTS)


async def _send_refusal(send: Send, refusal: Refusal, ticket: Ticket) -> None:
    body = error_body(refusal, ticket.request_id)
    await send({"type": "http.response.start", "status": refusal.status, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *refusal.headers]})
    await send({"type": "http.response.body", "body": body})
