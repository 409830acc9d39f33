"""Which segment answers a request.

`auto` takes the single most specific promoted segment that fits: a family by a value that the request's context or
the shopper's attributes carry, a segment by its condition on what a request knows, a part of the catalogue where
everything the request allows lies inside it, a scene by its dates, new shoppers by how little is known of them. Each
answers only the audiences it was promoted for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
from pydantic import BaseModel, Field, model_validator

from recsys_core.errors import BundleError
from recsys_core.interactions import MOST_LITTLE, Audience, audience_of
from recsys_core.schema import as_text

IN_WORDS = {"none": "without history", "little": f"of 1 to {MOST_LITTLE} known steps",
            "full": f"of more than {MOST_LITTLE} known steps"}


class Route(BaseModel, frozen=True, extra="forbid"):
    """One segment or family as serving sees it, refused ones included so that a refusal can be explained."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="also its folder's name")
    kind: Literal["new_users", "scene", "domain", "custom", "family"]
    decision: Literal["promoted", "refused"]
    reason: str = Field(min_length=1, description="why it was promoted or refused, for people")
    audiences: tuple[Audience, ...] = Field((), description="whom it was promoted for")
    by: str | None = Field(None, pattern=r"^(context|users)\..+$", description="family: what tells its members apart")
    start: date | None = Field(None, description="a scene's first local day")
    end: date | None = Field(None, description="a scene's last local day, inclusive")
    asked: str = Field("true", description="SQL over users, context, events.user_id, events.day, events.timestamp")
    candidates: str = Field("true", description="SQL over items")
    first_days: float = Field(60, description="new_users: days since the first event")
    max_steps: int = Field(5, description="new_users: steps, where a history has no times")
    share: float = Field(1.0, ge=0, le=1, description="share of all events, of a family per member; smaller is more specific")
    method: str | None = Field(None, description="how its adapter was made")
    shots: int | None = Field(None, ge=0)
    evidence: dict[str, Any] = Field(default_factory=dict, description="gains with intervals, as gated")

    @model_validator(mode="after")
    def _fits_together(self) -> Route:
        if (self.decision == "promoted") != bool(self.audiences):
            raise ValueError(f"segment {self.name!r} is {self.decision} for the audiences {list(self.audiences)}")
        if (self.kind == "family") != (self.by is not None):
            raise ValueError(f"segment {self.name!r} of kind {self.kind} is told apart by {self.by}")
        return self


@dataclass(frozen=True)
class Situation:
    """What a request tells the router.

    Args:
        at: seconds since the epoch.
        allowed: bool [N], None where the request restricts nothing.
        user: attributes of the shopper.
        first_days_ago: see `serving.history.History`.
        steps: see `serving.history.History`.
        context: value by declared name.
        user_id: as the caller gave it.
    """

    at: float
    allowed: np.ndarray | None
    user: Mapping[str, Any]
    first_days_ago: float | None
    steps: int
    context: Mapping[str, str] = field(default_factory=dict)
    user_id: str | None = None


class Resolved(NamedTuple):
    """Who answers: a segment (None: the base alone) and which of its members; and what was asked for in vain, and why."""

    segment: str | None = None
    member: str = ""
    note: str | None = None


class _Stream:
    """A frame that DuckDB reads as an Arrow stream: for one of polars' it would ask for pyarrow, which serving does without."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


class Router:
    """Segments of one bundle, their conditions bound once.

    Args:
        routes: of every segment and family.
        segment_order: names, the preferred ones first.
        items: of the catalogue, in its order.
        user_columns: the attributes that are kept of shoppers.
        context_names: those the shop declares.
        members: promoted segment or family → its values with shots ("": a segment's).
    """

    def __init__(self, routes: Sequence[Route], segment_order: Sequence[str], items: pl.DataFrame, user_columns: Sequence[str],
                 context_names: Sequence[str], members: Mapping[str, Sequence[str]], time_zone: str) -> None:
        self.routes = {route.name: route for route in routes}
        self._order = {name: place for place, name in enumerate(segment_order)}
        self.zone = ZoneInfo(time_zone)
        self._context_names = list(context_names)
        self._user_columns = list(user_columns)
        self.members = {name: sorted(values) for name, values in members.items()}
        self._known = {name: frozenset(values) for name, values in members.items()}
        # Conditions come with the bundle: they may compute, but reach no file and no network.
        # One thread: others would be gone in a forked worker, which would wait for them.
        self._sql = duckdb.connect(":memory:", config={"enable_external_access": "false", "lock_configuration": "true",
                                                       "threads": 1})
        self._inside = self._candidates([route.name for route in routes
                                         if route.decision == "promoted" and route.candidates != "true"], items)

    def _candidates(self, names: Sequence[str], items: pl.DataFrame) -> dict[str, np.ndarray]:
        """Per segment the items its requests may be answered with: bool [n], of n items."""
        sql, found = self._sql.cursor(), {}
        if names:  # where pyarrow is installed, DuckDB imports it and pandas before it looks at any table
            sql.register("items", _Stream(items.with_row_index("catalogue_row")))
        for name in names:
            where = self.routes[name].candidates
            try:
                rows = sql.execute(f"SELECT catalogue_row FROM items WHERE ({where})").fetchnumpy()
            except duckdb.Error as error:
                raise BundleError(f"segment {name!r}", f"{where} fails: {str(error).splitlines()[0]}",
                                  "correct `where` in shop.yaml and publish the bundle again") from None
            found[name] = np.zeros(items.height, bool)
            found[name][np.asarray(rows["catalogue_row"], np.int64)] = True
        return found

    def grown(self, changed: pl.DataFrame, rows: Sequence[int], size: int) -> Router:
        """The same for a catalogue with more or changed items.

        Args:
            changed: the items that differ or are new.
            rows: where they stand in the catalogue.
            size: how many items it has now; new ones stand at the end.
        """
        found = copy(self)
        found._inside = {}
        for name, inside in self._candidates(list(self._inside), changed).items():
            found._inside[name] = np.concatenate([self._inside[name], np.zeros(size - len(self._inside[name]), bool)])
            found._inside[name][list(rows)] = inside
        return found

    def resolve(self, segment: str | None, situation: Situation) -> Resolved:
        """The segment that answers and, where one was asked for in vain, why."""
        if segment is None:
            return Resolved()
        if segment == "auto":
            return self._most_specific(situation)
        why = self.closed(segment, situation.at) or self._unfit(self.routes[segment], situation)
        if why:
            return Resolved(note=f"{why}: the base serves")
        return Resolved(segment, self._value(self.routes[segment], situation))

    def closed(self, segment: str, at: float) -> str | None:
        """Why a segment answers nobody at a time; None: it may answer."""
        route = self.routes.get(segment)
        if route is None:
            return f"segment {segment[:40]!r} is unknown"
        if route.decision != "promoted":
            return f"segment {segment!r} was refused ({route.reason})"
        today = self.local_day(at)
        if route.end is not None and today > route.end:
            return f"segment {segment!r} ended on {route.end}"
        if route.start is not None and today < route.start:
            return f"segment {segment!r} starts on {route.start}"
        return None

    def local_day(self, at: float) -> date:
        """The shop's day at a time, seconds since the epoch."""
        return datetime.fromtimestamp(at, UTC).astimezone(self.zone).date()

    def reads_users(self, segment: str) -> bool:
        """Whether a shopper's attributes may decide who answers."""
        route = self.routes.get(segment)
        return segment == "auto" or (route is not None and (route.by or "").startswith("users."))

    def _unfit(self, route: Route, situation: Situation) -> str | None:
        """Why a promoted segment cannot answer this shopper, whatever is asked for."""
        audience = audience_of(situation.steps)
        if audience not in route.audiences:
            return f"segment {route.name!r} was not promoted for shoppers {IN_WORDS[audience]}"
        if route.by and not self._value(route, situation):
            return f"segment {route.name!r} needs {route.by}"
        return self._unknown_value(route, situation)

    def _value(self, route: Route, situation: Situation) -> str:
        """The value that says which of a family's members is meant; "" where the request has none, or for a segment."""
        if route.by is None:
            return ""
        table, column = route.by.split(".", 1)
        value = (situation.context if table == "context" else situation.user).get(column)
        text = "" if value is None else str(value).strip()
        return text if not text or text in self._known[route.name] else as_text(value)

    def _unknown_value(self, route: Route, situation: Situation) -> str | None:
        value = self._value(route, situation)
        if not route.by or not value or value in self._known[route.name]:
            return None
        return f"{route.by.split('.', 1)[1]} {value[:40]!r} is unknown to segment {route.name!r}"

    def _most_specific(self, situation: Situation) -> Resolved:
        promoted = [route for route in self.routes.values() if route.decision == "promoted"]
        fitting = [route for route in promoted if self._fits(route, situation)]
        fitting.sort(key=lambda r: (self._order.get(r.name, len(self._order)), r.share, r.name))
        found = fitting[0] if fitting else None
        unknown = [phrase for route in promoted if (phrase := self._unknown_value(route, situation))]
        serves = f"segment {found.name!r} serves" if found else "the base serves"
        note = f"{', '.join(unknown)}: {serves}" if unknown else None
        return Resolved(found.name, self._value(found, situation), note) if found else Resolved(note=note)

    def _fits(self, route: Route, situation: Situation) -> bool:
        if self.closed(route.name, situation.at) or self._unfit(route, situation):
            return False
        if route.kind == "new_users":
            known_for = situation.first_days_ago
            new = situation.steps <= route.max_steps if known_for is None else known_for < route.first_days
            if not new:
                return False
        inside, allowed = self._inside.get(route.name), situation.allowed
        if inside is not None and (allowed is None or not allowed.any() or (allowed & ~inside).any()):
            return False
        return route.asked == "true" or self._is_met(route, situation)

    def _is_met(self, route: Route, situation: Situation) -> bool:
        """Whether a request meets the condition on what it knows; what was not given is null."""
        tables = {
            "users": {"user_id": situation.user_id, **dict.fromkeys(self._user_columns), **situation.user},
            "context": {**dict.fromkeys(self._context_names), **situation.context},
            "events": {"user_id": situation.user_id, "day": self.local_day(situation.at),
                       "timestamp": datetime.fromtimestamp(situation.at, UTC)}}
        row = ", ".join(f"(SELECT {', '.join(f'? AS {_quoted(name)}' for name in columns)}) AS {table}"
                        for table, columns in tables.items() if columns)
        values = [value for columns in tables.values() for value in columns.values()]
        try:
            met = self._sql.cursor().execute(f"SELECT ({route.asked}) FROM {row}", values).fetchone()
        except (duckdb.Error, OverflowError):  # an attribute of another type says nothing about membership
            return False
        return bool(met and met[0])


def _quoted(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'
