"""One worker's answers: what is known of the shopper, the bundle's list, and what is served where a part of it fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from recsys_core.adaptation import Adapter
from recsys_core.answering import Profile
from recsys_core.collection import UNWANTED, EventLog, PostedItems, Sessions
from recsys_core.errors import RecsysError, RequestError
from recsys_core.metrics import top_rows
from recsys_core.personal import mask_text
from recsys_core.pseudonyms import UserKeys
from recsys_core.schema import PAD_SCORE, POSITIVE_EVENTS, RATING
from recsys_core.service.bodies import (
    AdaptBody,
    Asking,
    ClickBody,
    EventBody,
    FeedbackBody,
    Listing,
    ProfileBody,
    RecommendBody,
    SearchBody,
)
from recsys_core.service.logs import LOGGER
from recsys_core.service.measures import Measures
from recsys_core.service.treatments import Listed, Treatment, Treatments
from recsys_core.serving import Bundle, Recommendation, Recommendations, read_items, to_seconds, under_rules, understand

log = logging.getLogger(LOGGER)
Ask = Callable[[Bundle, int, dict[str, Any]], Recommendations]
ADAPTERS_KEPT = 1000  # in one worker's memory; others are made again from their support
CLOCKS_DIFFER_S = 300.0  # an event may lie so far in the future
BASE_ALONE = "the adapter failed: the base alone"
POPULAR = "the model failed: what others take"
FORGETFUL = "what the shopper just did could not be read"


class Answering:
    """Calls into one bundle, for one worker.

    Args:
        treatments: what answers, and the experiments.
        event_log: where events and exposures go.
        sessions: what shoppers just did.
        measures: counts fallbacks.
        adapter_ttl_s: how long an adapter is kept.
    """

    def __init__(self, treatments: Treatments, event_log: EventLog, sessions: Sessions, measures: Measures,
                 adapter_ttl_s: float) -> None:
        self.treatments, self.event_log, self.sessions, self.measures = treatments, event_log, sessions, measures
        self.bundle, self.adapter_ttl_s = treatments.bundle, adapter_ttl_s
        self._keys = UserKeys.from_environment()
        self.posted = PostedItems(event_log.folder)
        self._adapter = lru_cache(ADAPTERS_KEPT)(self._make_adapter)

    def recommend(self, body: RecommendBody, request_id: str) -> Listed:
        """A shopper's list; raises RequestError for a request that makes no sense."""
        more: dict[str, Any] = {"user": body.user, "exclude_seen": body.exclude_seen}
        return self._list("recommend", body, request_id, body.user or {},
                          lambda bundle, k, said: bundle.recommend(k=k, **more, **said))

    def search(self, body: SearchBody, request_id: str) -> Listed:
        """A query's list; raises RequestError for a request that makes no sense."""
        return self._list("search", body, request_id, {}, lambda bundle, k, said: bundle.search(body.query, k, **said))

    def click_probability(self, body: ClickBody) -> tuple[list[float], str | None]:
        """How likely each item is taken, and what was left out; raises RequestError."""
        said, note = self._who(body)
        try:
            return self.bundle.click_probability(body.items, query=body.query, **said), note  # type: ignore[arg-type]
        except RequestError:
            raise
        except Exception:
            self._fell_back("click-probability", "adapter")
            said |= {"segment": None, "adapter": None}
            return self.bundle.click_probability(body.items, query=body.query, **said), BASE_ALONE  # type: ignore[arg-type]

    def adapt(self, body: AdaptBody) -> str:
        """Make an adapter that every worker knows by its id; raises RequestError."""
        made = body.model_dump()
        self.bundle.adapt(made["support"], page=made["page"])  # refuses what makes no sense
        name = uuid.uuid4().hex
        self.sessions.put(f"adapter:{name}", made, self.adapter_ttl_s)
        return name

    def collect(self, events: list[EventBody]) -> list[str]:
        """Log events, and remember them for the shopper's next list; their ids.

        Raises:
            RequestError: a time that is none, or that lies in the future.
            RecsysError: the log cannot be written.
        """
        rows, latest = [], self.event_log.clock() + CLOCKS_DIFFER_S
        for place, event in enumerate(events):
            row = event.model_dump(exclude_none=True)
            row |= {name: str(row[name]).strip() for name in ("user_id", "item_id") if name in row}
            row |= {name: self._keys.hidden(row[name], row["user_id"]) for name in ("event_id", "session_id") if name in row}
            row["user_id"] = self._stored(row["user_id"])
            row["timestamp"] = self.event_log.clock() if event.timestamp is None else \
                to_seconds(event.timestamp, self.event_log.zone)
            if row["timestamp"] > latest:
                raise RequestError(f"events, entry {place}", "lies in the future", "set the clock that stamps events")
            rows.append(row)
        ids = self.event_log.add_events(rows)
        by_user: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            self.measures.events.labels(row["event_type"]).inc()
            if row["event_type"] in POSITIVE_EVENTS:
                by_user.setdefault(row["user_id"], []).append(row)
        for user_id, theirs in by_user.items():
            self._remember(user_id, theirs)
        return ids

    def profile(self, body: ProfileBody) -> tuple[Profile, str | None]:
        """A shopper in a few figures, and what could not be read; raises RequestError."""
        history, note = self._known(body.history, body.user_id)
        return self.bundle.profile(history), note

    def upsert(self, rows: list[dict[str, Any]]) -> int:
        """Keep posted items for the next generation of workers; how many.

        Raises:
            RequestError: a row without item_id, with a strange column or a value of another type.
            RecsysError: they cannot be written.
        """
        read = read_items(self.bundle.parts, rows)
        self.posted.add({item: {name: row[name] for name in row if name != "text" and row[name] is not None}
                         for item, row in read.items()})
        return len(read)

    def judge(self, body: FeedbackBody) -> list[str]:
        """Log a thumb; up is a rating, down keeps the item out of the shopper's lists until it is taken.

        Raises:
            RecsysError: the log cannot be written.
        """
        user_id, item_id, now = self._stored(body.user_id), str(body.item_id).strip(), self.event_log.clock()
        kind, rating = (RATING, 1.0) if body.value == "up" else (UNWANTED, 0.0)
        ids = self.event_log.add_events([{"user_id": user_id, "item_id": item_id, "event_type": kind, "rating": rating,
                                          "timestamp": now, "request_id": body.request_id}])
        self.measures.events.labels(kind).inc()
        self._remember(user_id, [{"item_id": item_id, "event_type": kind, "timestamp": now}])
        return ids

    def expose(self, request_id: str, endpoint: str, body: Listing, listed: Listed) -> None:
        """Log what a known shopper was shown; a log that fails costs no answer."""
        if body.user_id is None or not listed.answers:
            return
        session = body.session_id and self._keys.hidden(body.session_id, str(body.user_id).strip())
        asked = {"request_id": request_id, "user_id": self._stored(body.user_id), "endpoint": endpoint,
                 "session_id": session, "context": body.context,
                 "query": mask_text(body.query) if isinstance(body, SearchBody) else None}
        try:
            self.event_log.add_exposures([{name: value for name, value in (asked | row).items() if value is not None}
                                          for row in listed.exposures()])
        except RecsysError as error:
            log.error("exposure lost: %s", error)
            self._fell_back(endpoint, "exposure_lost")

    def _list(self, endpoint: str, body: Listing, request_id: str, attributes: Mapping[str, Any], ask: Ask) -> Listed:
        """The list under the user's variants; without the adapter where that fails, the popular items where the base does."""
        said, note = self._who(body)
        said |= {"candidates": body.candidates, "filters": body.filters, "shelf": body.shelf, "explain": body.explain}
        unwanted = self._unwanted(body.user_id)

        def ask_without(bundle: Bundle, asked: dict[str, Any], *notes: str | None) -> Recommendations:
            found = ask(bundle, body.k + len(unwanted), asked)
            kept = [one for one in found if one.item_id not in unwanted][:body.k]
            return Recommendations(kept, _join(found.fallback, *notes))

        def safely(treatment: Treatment) -> Recommendations:
            asked = {**said, **treatment.changes, "rules": treatment.rules}
            try:
                return ask_without(treatment.bundle, asked, note)
            except RequestError:
                raise
            except Exception:
                self._fell_back(endpoint, "adapter")
            try:
                return ask_without(treatment.bundle, asked | {"segment": None, "adapter": None}, note, BASE_ALONE)
            except Exception:
                self._fell_back(endpoint, "base")
                return self._popular(treatment, body)

        user_id = None if body.user_id is None else str(body.user_id).strip()
        listed = self.treatments.answer(user_id, {**(body.context or {}), **attributes}, body.k, request_id, safely)
        self.measures.count_list(endpoint, listed.answers, len(said["history"] or ()))
        return listed

    def _who(self, body: Asking) -> tuple[dict[str, Any], str | None]:
        """Who asks, as arguments of the bundle's methods, and a phrase where something is not known."""
        history, note = self._known(body.history, body.user_id)
        adapter = None if body.adapter is None else self._adapter(body.adapter)
        return {"history": history, "user_id": body.user_id, "at": body.at, "segment": body.segment, "adapter": adapter,
                "context": body.context}, note

    def _known(self, history: Any, user_id: Any) -> tuple[Any, str | None]:
        """The history that was brought along, else what bundle and session know of the user; a phrase where one is not read."""
        if history is not None or user_id is None:
            return history, None
        known = self.bundle.known_history(str(user_id).strip())
        try:
            events = self.sessions.newest(self._stored(user_id))
        except Exception:
            self._fell_back("sessions", "sessions")
            return known, FORGETFUL
        events = [event for event in events if event["event_type"] != UNWANTED]
        if known and "timestamp" in known[-1]:
            newest = self.bundle.parts.ranker.counts.newest  # what happened until then is in the bundle's own history
            events = [event for event in events if event["timestamp"] > newest]
        elif known:  # a shop without times: an event's place says when
            events = [{"item_id": event["item_id"], "event_type": event["event_type"]} for event in events]
        return [*known, *events], None

    def _stored(self, user_id: Any) -> str:
        """The only name of a shopper that is written anywhere."""
        return self._keys.stored(str(user_id).strip())

    def _remember(self, user_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Keep events for the shopper's next list; where that fails they are still in the log."""
        try:
            self.sessions.add(user_id, events)
        except Exception:
            self._fell_back("events", "sessions")

    def _unwanted(self, user_id: Any) -> frozenset[str]:
        """Items that the shopper turned a thumb down for, and has not taken since."""
        if user_id is None:
            return frozenset()
        try:
            last = {event["item_id"]: event["event_type"] for event in self.sessions.newest(self._stored(user_id))}
        except Exception:
            return frozenset()  # told where the history is read
        return frozenset(item for item, kind in last.items() if kind == UNWANTED)

    def _make_adapter(self, name: str) -> Adapter:
        made = self.sessions.get(f"adapter:{name}")
        if made is None:
            raise RequestError("adapter", f"{name[:40]!r} is unknown, or its time is over", "make it again at /v1/adapt")
        return self.bundle.adapt(made["support"], page=made["page"])

    def _popular(self, treatment: Treatment, body: Listing) -> Recommendations:
        """What others take, within what the request and the rules allow."""
        parts = treatment.bundle.parts
        request = understand(parts, None, candidates=body.candidates, filters=body.filters, shelf=body.shelf)
        request = under_rules(request, treatment.rules)
        scores = parts.log_share.copy()
        if request.allowed is not None:
            scores[~request.allowed] = PAD_SCORE
        names = treatment.bundle.catalogue.item_ids
        return Recommendations([Recommendation(names[row], float(scores[row]), {"popularity": float(scores[row])}, None, POPULAR)
                                for row in top_rows(scores, body.k, parts.ties)], POPULAR)

    def _fell_back(self, endpoint: str, reason: str) -> None:
        """Count and tell a failure that costs a part of an answer; called where an exception is handled, or after one."""
        log.error("%s: falls back (%s)", endpoint, reason, exc_info=True)
        self.measures.fallbacks.labels(endpoint, reason).inc()


def _join(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None
