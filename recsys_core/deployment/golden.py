"""Golden requests: real questions of the report window, answered by what was trained before anything was exported.

The exported bundle must give the same answers: the base's logits come from its own artefact, the adapters' from theirs, a
query's vector from the student as it was trained. Nobody's id is in them, times are days, and a day keeps few of its events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recsys_core.adaptation import Family, Study
from recsys_core.base_model import Ranker
from recsys_core.ingestion import ShopConfig
from recsys_core.interactions import (
    BASE,
    KNOTS,
    MOST_LITTLE,
    SECONDS_PER_DAY,
    Audience,
    Catalogue,
    Histories,
    Queries,
    audience_of,
    known_steps,
    make_queries,
)
from recsys_core.metrics import tie_ranks, top_rows
from recsys_core.monitoring import GOLDEN_K
from recsys_core.promotions import PromotionWeights
from recsys_core.retrieval import LexicalIndex, SearchConfig, log_shares
from recsys_core.schema import PAD_SCORE, POSITIVE_EVENTS

EACH = 3  # requests of every audience, and of every audience a segment was promoted for
DRAWN = 400  # questions looked at for them, and asked for the reference
OWN_DRAWN = 250  # a promoted segment's own questions, asked for the reference
DAYS_KEPT, EVENTS_KEPT = 8, 4  # newest days of a history, and events of each
KNOWN: dict[Audience, int] = {"none": 0, "little": MOST_LITTLE // 2, "full": DAYS_KEPT}  # days (or events) given
ORDER: tuple[Audience, ...] = ("none", "little", "full")
SHELVES_ASKED = 2


@dataclass(frozen=True)
class Trained:
    """What training left, in memory: it answers without a bundle.

    Args:
        catalogue: of the base.
        ranker: the base that ships.
        families: promoted segment or family → its adapters, trusted with the audiences they were promoted for.
        promotions: what is promoted and what it counts.
        shelves: `promotions.SHELF_COLUMNS`.
        queries: text → the trained student's own vector of it, d floats.
        words: of the catalogue.
        search: weights of a search's parts.
        time_zone: the shop's.
        event_type: of a history's bare ids.
    """

    catalogue: Catalogue
    ranker: Ranker
    families: Mapping[str, Family]
    promotions: PromotionWeights | None
    shelves: pl.DataFrame | None
    queries: Mapping[str, Sequence[float]]
    words: LexicalIndex
    search: SearchConfig
    time_zone: str
    event_type: str

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One golden request with its answer: request, items (best first) and scores."""
        day = self._day(request)
        scores = self._searched(request, day) if "query" in request else self._ranked(request, day)
        if "shelf" in request:
            scores[~self.on_shelf(request["shelf"], day)] = PAD_SCORE
        rows = top_rows(scores, GOLDEN_K, self._ties)
        return {"request": dict(request), "items": [self.catalogue.item_ids[row] for row in rows],
                "scores": [float(scores[row]) for row in rows]}

    def on_shelf(self, shelf: str, day: date) -> np.ndarray:
        """bool [N]: the items of a shelf on a day."""
        rows = pl.DataFrame(schema={"item_id": pl.String}) if self.shelves is None else self.shelves.filter(
            pl.col("shelf") == shelf, pl.col("first_day").fill_null(date.min) <= day,
            pl.col("last_day").fill_null(date.max) >= day)
        return self.catalogue.items["item_id"].is_in(rows["item_id"].to_list()).to_numpy()

    @cached_property
    def _ties(self) -> np.ndarray:
        return tie_ranks(self.catalogue.item_ids, self.ranker.counts.popularity)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def _day(self, request: Mapping[str, Any]) -> date:
        at = request.get("at")
        return datetime.fromisoformat(at).date() if at else datetime.fromtimestamp(self.ranker.counts.newest, self._zone).date()

    def _ranked(self, request: Mapping[str, Any], day: date) -> np.ndarray:
        """Base, adapter and promotions: float32 [N]."""
        at = request.get("at")
        now = int(datetime.fromisoformat(at).replace(tzinfo=self._zone).timestamp()) if at else None
        past = self._histories(request["history"], now)
        steps, scores = int(known_steps(past)[0]), self.ranker.score(past, now)[0]
        if segment := request.get("segment"):
            family = self.families[segment]
            table, _, column = family.by.partition(".")
            adapter = family.adapter(request["user" if table == "users" else table][column] if column else "")
            if adapter is not None:
                scores += np.float32(adapter.weight(steps)) * adapter.offsets(self.catalogue)
        return scores + self._promoted(request, day, steps)

    def _promoted(self, request: Mapping[str, Any], day: date, steps: int) -> np.ndarray:
        """What promotions add: float32 [N]."""
        parts = {} if self.promotions is None else self.promotions.offsets(request.get("context", {}), day, steps)
        return sum(parts.values(), np.zeros(len(self.catalogue), np.float32))

    def _histories(self, events: Sequence[Any], now: int | None) -> Histories:
        """One history as training sees it: events of one moment are one step, in the order of the catalogue."""
        named = [event if isinstance(event, Mapping) else {"item_id": event} for event in events]
        items = np.array([self.catalogue.row_of[event["item_id"]] for event in named], np.int32)
        types = np.array([POSITIVE_EVENTS.index(event.get("event_type", self.event_type)) for event in named], np.int8)
        indptr = np.array([0, len(named)], np.int64)
        if now is None or any("timestamp" not in event for event in named):
            steps_ago = np.arange(len(named), dtype=np.float32)[::-1]
            return Histories(indptr, items, steps_ago, np.zeros(len(named), np.float32), types)
        seconds = np.array([datetime.fromisoformat(e["timestamp"]).replace(tzinfo=self._zone).timestamp() for e in named])
        order = np.lexsort((items, seconds))
        step = np.unique(seconds, return_inverse=True)[1][order]
        steps_ago = (step.max(initial=0) - step).astype(np.float32)
        days_ago = ((now - seconds[order]) / SECONDS_PER_DAY).astype(np.float32)
        return Histories(indptr, items[order], steps_ago, days_ago, types[order])

    def _searched(self, request: Mapping[str, Any], day: date) -> np.ndarray:
        """A query's parts and promotions, without a shopper: float32 [N]."""
        query = request["query"]
        scores = np.asarray(self.search.popularity * log_shares(self.ranker.counts.popularity), np.float32)
        documents = self.words.documents
        found = np.zeros(len(documents.texts), np.float32)
        if self.search.text:  # else the vectors are not the encoder's, and of another width
            found += self.search.text * (self.catalogue.vectors @ np.asarray(self.queries[query], np.float32))[documents.texts]
        words = self.words.scores(self.words.read(query).terms)
        if words is not None:
            found += self.search.words * words
        return scores + found[documents.of_item] + self._promoted(request, day, 0)

    @property
    def as_spelt(self) -> list[str]:
        """The queries that search reads as they are: of a corrected one training has no vector."""
        return [text for text in self.queries if self.words.read(text).text == text]


def make_golden(study: Study, trained: Trained, shop: ShopConfig,
                audiences: Mapping[str, Sequence[Audience]]) -> list[dict[str, Any]]:
    """Sampled requests with the training side's answers.

    Args:
        study: the shop's events beside the base.
        trained: what was trained.
        shop: its settings.
        audiences: promoted segment or family → whom it was promoted for.
    """
    window = study.base.plan[BASE]
    rng = np.random.default_rng(23)
    queries = make_queries(study.events, window.report_start, window.report_end, max_queries=DRAWN, rng=rng)
    requests = [request for audience in ORDER for request in _of_audience(study, queries, audience, shop, rng)]
    for shelf in sorted(set(trained.shelves["shelf"]) if trained.shelves is not None else ()):
        held = [one for one in requests if trained.on_shelf(shelf, trained._day(one)).any()]
        if held and sum("shelf" in one for one in requests) < SHELVES_ASKED:
            requests.append({**held[-1], "shelf": shelf})
    for name, promoted in sorted(audiences.items()):
        own = study.window(name)
        asked = study.questions(name, own.report_start, own.report_end, DRAWN, rng) if own else queries
        for audience in promoted:
            requests += _of_segment(study, asked, trained.families[name], audience, shop, rng)
    return [trained.answer(request) for request in (*requests, *({"query": text} for text in trained.as_spelt))]


def report_requests(study: Study, shop: ShopConfig, promoted: Sequence[str]) -> list[dict[str, Any]]:
    """A sample of the report window's questions as requests, histories whole: what a service will be asked.

    Args:
        study: the shop's events beside the base.
        shop: its settings.
        promoted: segments and families that serve; questions of each are asked of it, too.
    """
    window, rng = study.base.plan[BASE], np.random.default_rng(29)
    queries = make_queries(study.events, window.report_start, window.report_end, max_queries=DRAWN, rng=rng)
    found = list(_whole(study, queries, shop, "auto"))
    for name in promoted:
        own = study.window(name)
        if own is not None:
            found += _whole(study, study.questions(name, own.report_start, own.report_end, OWN_DRAWN, rng), shop, name)
    return found


def _whole(study: Study, queries: Queries, shop: ShopConfig, segment: str) -> Iterator[dict[str, Any]]:
    """Questions as requests to a segment, with everything that was known of their shoppers."""
    contexts, names = study.contexts(queries), study.base.catalogue.item_ids
    for row, context in enumerate(contexts.to_list()):
        past, asked = queries.histories[row:row + 1], int(queries.timestamp[row])
        events = [{"item_id": names[item], "event_type": POSITIVE_EVENTS[kind],
                   **({} if shop.order_only else {"timestamp": asked - ago * SECONDS_PER_DAY})}
                  for item, kind, ago in zip(past.items.tolist(), past.event_type.tolist(), past.days_ago.tolist(), strict=True)]
        yield {"history": events, "at": None if shop.order_only else asked, "segment": segment,
               "user_id": study.events.user_ids[queries.user[row]], "context": _said(context, shop)}


def _said(context: str | None, shop: ShopConfig) -> dict[str, str]:
    """What a request says too: the declared names of an event's context."""
    known = json.loads(context or "{}")
    return {name: str(known[name]) for name in shop.context if known.get(name) is not None}


def _of_audience(study: Study, queries: Queries, audience: Audience, shop: ShopConfig,
                 rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A few requests of one audience; the first sends bare ids, as a client may that keeps no times."""
    found = 0
    for row in rng.permutation(len(queries)).tolist():
        if found == EACH:
            return
        request = _request(study, queries, row, audience, shop)
        if request is not None:
            yield {"history": [event["item_id"] for event in request["history"]]} if not found else request
            found += 1


def _of_segment(study: Study, queries: Queries, family: Family, audience: Audience, shop: ShopConfig,
                rng: np.random.Generator) -> list[dict[str, Any]]:
    """A few requests of one audience that a segment or a member of a family serves."""
    found: list[dict[str, Any]] = []
    codes, members = study.asked(family.name, queries), study.codes(family.name)[1]
    for row in rng.permutation(np.flatnonzero(codes >= 0)).tolist():
        if len(found) == EACH:
            break
        request, member = _request(study, queries, row, audience, shop), members[codes[row]]
        if request is None or not family.shots(member):
            continue
        table, _, column = family.by.partition(".")
        said = {"user": {column: member}} if table == "users" else {"context": {**request.get("context", {}), column: member}} \
            if table else {}
        found.append({**request, **said, "segment": family.name})
    return found


def _request(study: Study, queries: Queries, row: int, audience: Audience, shop: ShopConfig) -> dict[str, Any] | None:
    """One question as a request of an audience; None where too little is known of its shopper."""
    past, zone = queries.histories[row:row + 1], ZoneInfo(shop.time_zone)
    asked = datetime.fromtimestamp(int(queries.timestamp[row]), zone)
    days = [(asked - timedelta(days=ago)).date() for ago in past.days_ago.tolist()]
    steps: dict[Any, list[dict[str, Any]]] = {}
    for place, (item, kind, day) in enumerate(zip(past.items.tolist(), past.event_type.tolist(), days, strict=True)):
        event = {"item_id": study.base.catalogue.item_ids[item], "event_type": POSITIVE_EVENTS[kind]}
        steps.setdefault(place if shop.order_only else day, []).append(
            event if shop.order_only else {**event, "timestamp": str(day)})
    kept = list(steps.values())[len(steps) - min(KNOWN[audience], len(steps)):]
    if audience_of(len(kept)) != audience:
        return None
    request: dict[str, Any] = {"history": [event for step in kept for event in step[:EVENTS_KEPT]]}
    if not shop.order_only:
        request["at"] = f"{asked.date()}T12:00:00"
    said = _said(study.contexts(queries)[row], shop)
    return {**request, "context": said} if said else request


def trust_promoted(family: Family, audiences: Sequence[Audience]) -> Family:
    """The same adapters, trusted only with the audiences they were promoted for."""
    answered = np.array([audience_of(knot) in audiences for knot in KNOTS])
    return family.trusted(np.where(answered, family.trust, 0))
