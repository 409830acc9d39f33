"""How the service is set up; handed from the supervisor to every generation of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from recsys_core.collection import SessionConfig

Scope = Literal["read", "write", "admin"]


class ApiKey(BaseModel, frozen=True, extra="forbid"):
    """Who may ask what; the key itself is not kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="what logs call its holder")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the key, hex")
    scopes: frozenset[Scope] = Field(min_length=1, description="read: ask; write: post events, items and feedback; admin: both")

    def allows(self, scope: Scope) -> bool:
        """Whether the holder may do what needs this scope."""
        return scope in self.scopes or "admin" in self.scopes


class ServiceSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything a generation of workers needs to know."""

    bundle: Path = Field(description="folder of the bundle")
    collect: Path = Field(description="folder of the event log and the sessions")
    home: Path | None = Field(None, description="RECSYS_HOME, where experiments.yaml and rules.yaml lie; None: neither")
    redis: str | None = Field(None, repr=False, description="URL of the Redis that keeps the sessions; None: a file in `collect`")
    rules: Path | None = Field(None, description="file of business rules that hold for every list; None: the home's")
    workers: int = Field(2, ge=1, le=256, description="processes that answer")
    keys: tuple[ApiKey, ...] = Field((), description="none: everybody who reaches the socket may ask")
    requests_per_s: float = Field(100.0, ge=0, description="of one key, or one address without keys; 0: no limit")
    burst: float = Field(200.0, ge=1, description="requests that may come at once")
    max_body: int = Field(1_000_000, ge=1, description="bytes of a request's body")
    time_limit_s: float = Field(5.0, gt=0, description="seconds that a request may take, its body's arrival included")
    drain_s: float = Field(10.0, ge=0, description="seconds that idle connections may stay when a generation ends")
    adapter_ttl_s: float = Field(3600.0, gt=0, description="seconds that an adapter made by a request is kept")
    sessions: SessionConfig = SessionConfig()
