"""One worker's answers: what is known of the shopper, the bundle's list, and what is served where a part of it fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from recsys_core.adaptation import Adapter
from recsys_core.collection import EventLog, Sessions, mask_text
from recsys_core.errors import RecsysError, RequestError
from recsys_core.metrics import top_rows
from recsys_core.schema import PAD_SCORE, POSITIVE_EVENTS
from recsys_core.service.bodies import AdaptBody, Asking, ClickBody, EventBody, Listing, RecommendBody, SearchBody
from recsys_core.service.logs import LOGGER
from recsys_core.service.measures import Measures
from recsys_core.service.treatments import Listed, Treatment, Treatments
from recsys_core.serving import Bundle, Recommendation, Recommendations, to_seconds, understand

log = logging.getLogger(LOGGER)
Ask = Callable[[Bundle, dict[str, Any]], Recommendations]
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
        self._adapter = lru_cache(ADAPTERS_KEPT)(self._make_adapter)

    def recommend(self, body: RecommendBody, request_id: str) -> Listed:
        """A shopper's list; raises RequestError for a request that makes no sense."""
        more: dict[str, Any] = {"user": body.user, "exclude_seen": body.exclude_seen}
        return self._list("recommend", body, request_id, body.user or {},
                          lambda bundle, said: bundle.recommend(k=body.k, **more, **said))

    def search(self, body: SearchBody, request_id: str) -> Listed:
        """A query's list; raises RequestError for a request that makes no sense."""
        return self._list("search", body, request_id, {}, lambda bundle, said: bundle.search(body.query, body.k, **said))

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
            self.sessions.add(user_id, theirs)
        return ids

    def expose(self, request_id: str, endpoint: str, body: Listing, listed: Listed) -> None:
        """Log what a known shopper was shown; a log that fails costs no answer."""
        if body.user_id is None or not listed.answers:
            return
        asked = {"request_id": request_id, "user_id": str(body.user_id).strip(), "endpoint": endpoint,
                 "session_id": body.session_id, "context": body.context,
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
        said |= {"candidates": body.candidates, "filters": body.filters, "shelf": body.shelf}

        def safely(treatment: Treatment) -> Recommendations:
            try:
                found = ask(treatment.bundle, {**said, **treatment.changes})
                return Recommendations(found, _join(found.fallback, note))
            except RequestError:
                raise
            except Exception:
                self._fell_back(endpoint, "adapter")
            try:
                found = ask(treatment.bundle, said | {"segment": None, "adapter": None})
                return Recommendations(found, _join(found.fallback, note, BASE_ALONE))
            except Exception:
                self._fell_back(endpoint, "base")
                return self._popular(treatment.bundle, body)

        user_id = None if body.user_id is None else str(body.user_id).strip()
        listed = self.treatments.answer(user_id, {**(body.context or {}), **attributes}, body.k, request_id, safely)
        self.measures.count_list(endpoint, listed.answers, len(said["history"] or ()))
        return listed

    def _who(self, body: Asking) -> tuple[dict[str, Any], str | None]:
        """Who asks, as arguments of the bundle's methods, and a phrase where something is not known."""
        history, note = body.history, None
        if history is None and body.user_id is not None:
            try:
                history = self.sessions.newest(str(body.user_id).strip())  # type: ignore[assignment]
            except Exception:
                self._fell_back("sessions", "sessions")
                history, note = [], FORGETFUL
        adapter = None if body.adapter is None else self._adapter(body.adapter)
        return {"history": history, "user_id": body.user_id, "at": body.at, "segment": body.segment, "adapter": adapter,
                "context": body.context}, note

    def _make_adapter(self, name: str) -> Adapter:
        made = self.sessions.get(f"adapter:{name}")
        if made is None:
            raise RequestError("adapter", f"{name[:40]!r} is unknown, or its time is over", "make it again at /v1/adapt")
        return self.bundle.adapt(made["support"], page=made["page"])

    def _popular(self, bundle: Bundle, body: Listing) -> Recommendations:
        """What others take, within what the request allows."""
        parts = bundle.parts
        request = understand(parts, None, candidates=body.candidates, filters=body.filters, shelf=body.shelf)
        scores = parts.log_share.copy()
        if request.allowed is not None:
            scores[~request.allowed] = PAD_SCORE
        names = bundle.catalogue.item_ids
        return Recommendations([Recommendation(names[row], float(scores[row]), {"popularity": float(scores[row])}, None, POPULAR)
                                for row in top_rows(scores, body.k, parts.ties)], POPULAR)

    def _fell_back(self, endpoint: str, reason: str) -> None:
        """Count and tell a failure that costs a part of an answer; called where an exception is handled, or after one."""
        log.error("%s: falls back (%s)", endpoint, reason, exc_info=True)
        self.measures.fallbacks.labels(endpoint, reason).inc()


def _join(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None
