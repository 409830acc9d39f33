"""Judged as served: what the published champion really did on the days after its newest one.

Train through day T, ask day T+1, roll forward. The champion answers as it does in service: with adapters, promotions and the
time of the request. Beside it stand rivals that are just as fresh, counted up to the evening before each day.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.artefacts import read_json, write_json
from recsys_core.evaluation import JUDGED_NIGHTLY, NIGHTS
from recsys_core.interactions import SECONDS_PER_DAY, Catalogue, Interactions, Queries, make_interactions, make_queries
from recsys_core.metrics import fit_personal_frequency, fit_popularity, ranking_metrics
from recsys_core.schema import PAD_SCORE, POSITIVE_EVENTS
from recsys_core.serving import Bundle

SERVED = JUDGED_NIGHTLY[0]
FREQUENCY, POPULARITY = JUDGED_NIGHTLY[1:]
ALONE = "base"  # a champion without its adapters
FRESH = "fresh"  # whether it had counted every day before the one that was asked
NIGHT_RIVALS = (ALONE, FREQUENCY, POPULARITY)  # of a fresh night
AT_ONCE = 64  # questions whose scores are held at once


class NextDaysConfig(BaseModel, frozen=True, extra="forbid"):
    """How much of a day is asked, and how many days stay on record."""

    k: int = Field(10, ge=1, description="length of the list that is judged")
    questions: int = Field(500, ge=1, description="steps of a day that are asked, a uniform sample")
    most_days: int = Field(31, ge=1, description="days judged at a time: the newest")
    kept: int = Field(400, ge=1, description="days on record: the newest")
    seed: int = 0


def write_next_days(folder: Path, champion: Bundle | None, interactions: pl.LazyFrame, previous: Path, time_zone: str,
                    config: NextDaysConfig) -> list[dict[str, Any]]:
    """Write `nights.json`: one row for every day on which a champion was judged, those of `previous` included.

    Args:
        folder: an empty folder.
        champion: what has served until now; None: nothing has.
        interactions: `schema.INTERACTIONS`, the days after the champion's newest one included.
        previous: what this function wrote before, where it did.
        time_zone: of the shop's local days.
        config: how much is asked.

    Returns:
        the days judged now, as `judge_day` gives them, and whether each was `fresh`; none where all that the champion has not
        counted were judged before. A day is judged once, by what served it; late events change no verdict.
    """
    old = read_json(previous / NIGHTS) if (previous / NIGHTS).is_file() else []
    judged = frozenset(row["day"] for row in old)
    found = [] if champion is None else _judge_new(champion, interactions, judged, time_zone, config)
    write_json(folder / NIGHTS, sorted([*old, *found], key=lambda row: row["day"])[-config.kept:])
    return found


def _judge_new(champion: Bundle, interactions: pl.LazyFrame, judged: Collection[str], time_zone: str, config: NextDaysConfig
               ) -> list[dict[str, Any]]:
    """The days that it has not counted and nobody has judged, in order; on its first one it is as fresh as its rivals."""
    day = pl.col("timestamp").dt.convert_time_zone(time_zone).dt.date()
    days = interactions.select(day=day).filter(pl.col("day") > champion.parts.newest_day).unique().sort("day").collect()["day"]
    new = [day for day in days.tail(config.most_days) if day.isoformat() not in judged]
    if not new:
        return []
    table = interactions.collect()
    found = []
    for day in new:
        fresh = day == days[0]
        answering = {SERVED: champion, ALONE: champion} if fresh else {SERVED: champion}
        found.append({**judge_day(answering, table, day, time_zone, config), FRESH: fresh})
    return found


def judge_day(answering: Mapping[str, Bundle], table: pl.DataFrame, day: date, time_zone: str,
              config: NextDaysConfig) -> dict[str, Any]:
    """NDCG@k of bundles, personal frequency and popularity on the steps of one day, all with the same histories.

    A history holds what came strictly before its step. Items that a contestant does not know are misses that count.

    Args:
        answering: bundles by name; the one named `base` answers without its adapters.
        table: `schema.INTERACTIONS`, `day` included.
        day: local day that is asked.
        time_zone: of local days.
        config: how much is asked.

    Returns:
        {"day": ISO, "questions": n, "shoppers": their number, and by name of each contestant its mean NDCG@k}.
    """
    start, end = (int(datetime.combine(at, datetime.min.time(), ZoneInfo(time_zone)).timestamp())
                  for at in (day, day + timedelta(days=1)))
    ids = table["item_id"].unique().sort()
    named = Catalogue(pl.DataFrame({"item_id": ids}), np.zeros(len(ids), np.int32), np.zeros((1, 1), np.float32))
    events = make_interactions(table, named)
    queries = make_queries(events, start, end, max_queries=config.questions,
                           rng=np.random.default_rng([config.seed, day.toordinal()]))
    known = events.before(start)
    frequency, popularity = fit_personal_frequency(known, len(named)), fit_popularity(known, len(named))
    sums = dict.fromkeys([*answering, FREQUENCY, POPULARITY], 0.0)
    contexts = _contexts(events, queries, table["context"])
    for low in range(0, len(queries), AT_ONCE):
        rows = range(low, min(low + AT_ONCE, len(queries)))
        part = queries.histories[rows.start:rows.stop]
        scored = {FREQUENCY: frequency.score(part), POPULARITY: popularity.score(part)}
        scored |= {name: np.stack([_listed(bundle, None if name == ALONE else "auto", events, queries, row, contexts[row], named,
                                           config.k) for row in rows]) for name, bundle in answering.items()}
        targets = queries.target_indptr[rows.start:rows.stop + 1]
        for name, scores in scored.items():
            sums[name] += float(ranking_metrics(scores, targets - targets[0], queries.targets[targets[0]:targets[-1]],
                                                config.k)[f"ndcg@{config.k}"].sum())
    return {"day": day.isoformat(), "questions": len(queries), "shoppers": len(np.unique(queries.user)),
            **{name: total / len(queries) for name, total in sums.items()}}


def _listed(bundle: Bundle, segment: str | None, events: Interactions, queries: Queries, row: int, context: str | None,
            named: Catalogue, k: int) -> np.ndarray:
    """float32 [N]: one question's list as scores; what it leaves out was never offered."""
    past, at = queries.histories, int(queries.timestamp[row])
    history = [{"item_id": named.item_ids[past.items[n]], "event_type": POSITIVE_EVENTS[past.event_type[n]],
                "timestamp": datetime.fromtimestamp(at - round(float(past.days_ago[n]) * SECONDS_PER_DAY), UTC)}
               for n in range(past.indptr[row], past.indptr[row + 1])]
    found = bundle.recommend(history, k, user_id=events.user_ids[queries.user[row]], at=datetime.fromtimestamp(at, UTC),
                             segment=segment, context=json.loads(context) if context else None)
    scores = np.full(len(named), PAD_SCORE, np.float32)
    for place, answer in enumerate(found):
        if answer.item_id in named.row_of:  # what nobody has taken yet keeps its place in the list
            scores[named.row_of[answer.item_id]] = -place
    return scores


def _contexts(events: Interactions, queries: Queries, told: pl.Series) -> list[str | None]:
    """The JSON text of each asked step's context, of its first event."""
    first = {(user, time): row for user, time, row in zip(events.user[::-1].tolist(), events.timestamp[::-1].tolist(),
                                                        events.row[::-1].tolist(), strict=True)}
    rows = [first[one] for one in zip(queries.user.tolist(), queries.timestamp.tolist(), strict=True)]
    return told.gather(rows).to_list()
