"""Which segment answers a request.

`auto` takes the single most specific promoted segment that is valid at the request's time:
a scene by its dates, a domain where everything the request allows lies inside it, a group of
shoppers by their attributes, new shoppers by how little is known of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
from pydantic import BaseModel, Field

ALWAYS, ITEMS, USERS, EVENTS = "always", "items", "users", "events"


class Route(BaseModel, frozen=True, extra="forbid"):
    """One segment as serving sees it, refused ones included so that a refusal can be explained."""

    name: str
    kind: Literal["new_users", "scene", "domain", "custom"]
    decision: Literal["promoted", "refused"]
    reason: str = Field(min_length=1, description="why it was promoted or refused, for people")
    start: date | None = Field(None, description="a scene's first local day")
    end: date | None = Field(None, description="a scene's last local day, inclusive")
    where: str = Field("true", description="SQL predicate over events, items and users")
    first_days: float = Field(60, description="new_users: days since the first event")
    max_steps: int = Field(5, description="new_users: steps, where a history has no times")
    share: float = Field(1.0, ge=0, le=1, description="share of all events; smaller is more specific")
    method: str | None = Field(None, description="how its adapter was made")
    shots: int | None = Field(None, ge=0)
    evidence: dict[str, Any] = Field(default_factory=dict, description="gains with intervals, as gated")


@dataclass(frozen=True)
class Situation:
    """What a request tells the router.

    Args:
        at: seconds since the epoch. allowed: bool [N], None where the request restricts nothing.
        user: attributes of the shopper. first_days_ago, steps: see `serving.history.History`.
    """

    at: float
    allowed: np.ndarray | None
    user: dict[str, Any]
    first_days_ago: float | None
    steps: int


class Router:
    """Segments of one bundle, their predicates bound once."""

    def __init__(self, routes: Sequence[Route], segment_order: Sequence[str], items: pl.DataFrame,
                 users: pl.DataFrame | None, time_zone: str) -> None:
        self.routes = {route.name: route for route in routes}
        self._order = {name: place for place, name in enumerate(segment_order)}
        self._zone = ZoneInfo(time_zone)
        # Predicates come with the bundle: they may compute, but reach no file and no network.
        self._sql = duckdb.connect(":memory:", config={"enable_external_access": "false",
                                                       "lock_configuration": "true"})
        self._user_columns = [c for c in users.columns if c != "user_id"] if users is not None else []
        self._sql.register("items", items.with_row_index("catalogue_row"))
        if users is not None:
            self._sql.register("users", users)
        self._scope: dict[str, str] = {}
        self._inside: dict[str, np.ndarray] = {}
        for route in self.routes.values():
            if route.decision == "promoted":
                self._bind(route, items.height)

    def _bind(self, route: Route, n_items: int) -> None:
        """Find out what a predicate speaks of, and keep the answer for every item where it is items."""
        if route.where.strip().lower() == "true":
            self._scope[route.name] = ALWAYS
            return
        for scope in (ITEMS, USERS):
            columns = "catalogue_row" if scope == ITEMS else "count(*)"
            try:
                rows = self._sql.execute(f"SELECT {columns} FROM {scope} WHERE ({route.where})").fetchnumpy()
            except duckdb.Error:
                continue
            self._scope[route.name] = scope
            if scope == ITEMS:
                self._inside[route.name] = np.zeros(n_items, bool)
                self._inside[route.name][np.asarray(rows["catalogue_row"], np.int64)] = True
            return
        # Speaks of events (a coupon, a campaign flag): a request cannot show that, its dates can.
        self._scope[route.name] = EVENTS

    def resolve(self, segment: str | None, situation: Situation) -> tuple[str | None, str | None]:
        """The segment that answers (None: the base alone) and, where one was asked for in vain, why."""
        if segment is None:
            return None, None
        if segment == "auto":
            fitting = [route for route in self.routes.values()
                       if route.decision == "promoted" and self._fits(route, situation)]
            fitting.sort(key=lambda r: (self._order.get(r.name, len(self._order)), r.share, r.name))
            return (fitting[0].name if fitting else None), None
        route = self.routes.get(segment)
        if route is None:
            return None, f"segment {segment!r} is unknown: the base serves"
        if route.decision != "promoted":
            return None, f"segment {segment!r} was refused ({route.reason}): the base serves"
        outside = self._outside_dates(route, situation.at)
        return (None, f"segment {segment!r} {outside}: the base serves") if outside else (segment, None)

    def _fits(self, route: Route, situation: Situation) -> bool:
        if self._outside_dates(route, situation.at):
            return False
        if route.kind == "new_users":
            known_for = situation.first_days_ago
            new = situation.steps <= route.max_steps if known_for is None else known_for < route.first_days
            if not new:
                return False
        scope = self._scope[route.name]
        if scope == ITEMS:
            allowed, inside = situation.allowed, self._inside[route.name]
            return allowed is not None and bool(allowed.any()) and not (allowed & ~inside).any()
        if scope == USERS:
            return self._is_member(route, situation.user)
        return scope == ALWAYS or route.kind == "scene"

    def _outside_dates(self, route: Route, at: float) -> str | None:
        today = datetime.fromtimestamp(at, UTC).astimezone(self._zone).date()
        if route.end is not None and today > route.end:
            return f"ended on {route.end}"
        if route.start is not None and today < route.start:
            return f"starts on {route.start}"
        return None

    def _is_member(self, route: Route, user: dict[str, Any]) -> bool:
        """Whether one shopper's attributes satisfy the predicate; an attribute not given is null."""
        if not user:
            return False
        known = {**dict.fromkeys(self._user_columns), **user}
        columns = ", ".join('? AS "' + name.replace('"', '""') + '"' for name in known)
        try:
            row = self._sql.cursor().execute(
                f"SELECT ({route.where}) FROM (SELECT {columns}) AS users", list(known.values())).fetchone()
        except duckdb.Error:  # an attribute of another type says nothing about membership
            return False
        return bool(row and row[0])
