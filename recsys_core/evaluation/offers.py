"""Do promotions pay as a part of the score? Their weights are learned in the support window and judged in the gate's.

Shoppers without history, with little and with full history are judged apart: for an audience in which the weights are not
proven better than the base alone on the gate window, they are 0. Folder `promotions` of the base model: judged.json, and
where they pay for anybody the weights and the newest promotions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.adaptation import Study
from recsys_core.artefacts import read_json, write_json
from recsys_core.base_model import BaseModelArtefact, Ranker
from recsys_core.evaluation.gate import AUDIENCES
from recsys_core.interactions import BASE, KNOTS, Audience, Queries, audience_of, for_audience, known_steps, make_queries
from recsys_core.metrics import Interval, holm, paired_bootstrap, ranking_metrics
from recsys_core.promotions import PromotionConfig, PromotionWeights, fit_promotions, make_promotions, score_by_day

log = logging.getLogger(__name__)

PROMOTIONS = "promotions"
JUDGED = "judged.json"


class OffersConfig(BaseModel, frozen=True, extra="forbid"):
    """How promotions are learned and judged."""

    weights: PromotionConfig = PromotionConfig()
    learned_from: int = Field(600, ge=10, description="steps of the support window that choose the weights")
    asked: int = Field(1500, ge=10, description="steps of the gate and of the report window each")
    level: float = Field(0.05, gt=0, lt=0.5, description="Holm-corrected p-value on the gate window up to which they serve")
    min_questions: int = Field(30, ge=1, description="fewer gate questions than this is no evidence")
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """Questions with what their requests say: contexts and local days."""

    queries: Queries
    contexts: Sequence[Mapping[str, str]]
    days: Sequence[date]


def judge_promotions(base: BaseModelArtefact, interactions: pl.DataFrame, table: pl.DataFrame, time_zone: str,
                     config: OffersConfig) -> dict | None:
    """Learn the weights of a shop's promotions and keep them beside the base model where they pay.

    Args:
        base: the built base.
        interactions: `schema.INTERACTIONS`.
        table: `schema.RAW_PROMOTIONS`.
        time_zone: IANA zone of the shop's days.
        config: how promotions are learned and judged.

    Returns:
        what judged.json holds: the audiences in which they serve, or the reason why in none; each audience's gain on the gate
        window, and on the report window where they serve. None without promotions.
    """
    if table.is_empty():
        return None
    study, window, rng = Study(base, interactions, _NO_SEGMENTS, ()), base.plan[BASE], np.random.default_rng(config.seed)
    promotions = make_promotions(table, base.catalogue)
    learned = _ask(study, window.support_start, window.gate_start, config.learned_from, time_zone, rng)
    weights = fit_promotions(promotions, study.base_at(window.support_start)[0], learned.queries, learned.contexts, learned.days,
                             config.weights)
    gate = _gains(study, window.gate_start, window.report_start, weights, tuple(AUDIENCES), time_zone, config, rng)
    enough = bool(gate) and gate["full"].n >= config.min_questions
    p_holm = holm({audience: gain.p_value for audience, gain in gate.items()}) if enough else {}
    proven = [audience for audience, gain in gate.items() if gain.mean > 0 and p_holm.get(audience, 1.0) <= config.level]
    weights = weights.masked(np.array([audience_of(knot) in proven for knot in KNOTS]))
    report = _gains(study, window.report_start, window.report_end, weights, tuple(proven), time_zone, config, rng)
    found = {"audiences": proven, "placements": list(promotions.placements),
             "reason": "" if proven else "not proven better than the base alone" if enough else "no evidence: too few questions",
             **{name: {audience: gain.to_json() for audience, gain in gains.items()}
                for name, gains in (("gate", gate), ("report", report))}}
    place = base.folder / PROMOTIONS
    if proven:
        weights.save(place)
    place.mkdir(exist_ok=True)
    write_json(place / JUDGED, found)
    log.info("promotions: %s", found)
    return found


def _gains(study: Study, start: int, end: int, weights: PromotionWeights, audiences: Sequence[Audience], time_zone: str,
           config: OffersConfig, rng: np.random.Generator) -> dict[Audience, Interval]:
    """Audience → what the promotions add on a sample of [start, end); nothing where nobody was there to ask."""
    asked, (ranker, _) = _ask(study, start, end, config.asked, time_zone, rng), study.base_at(start)
    return {audience: measure_promotions(ranker, weights, replace(asked, queries=for_audience(asked.queries, audience)))
            for audience in audiences} if len(asked.queries) else {}


def measure_promotions(ranker: Ranker, weights: PromotionWeights, asked: Asked, k: int = 10) -> Interval:
    """What the promotions add to the base's NDCG@k on the asked questions, with its interval over shoppers."""
    queries, gains = asked.queries, np.zeros(len(asked.queries))
    steps = known_steps(queries.histories)
    for row, score in score_by_day(ranker, queries, np.arange(len(queries)), asked.days):
        targets = queries.targets[queries.target_indptr[row]:queries.target_indptr[row + 1]]
        added = sum(weights.offsets(asked.contexts[row], asked.days[row], int(steps[row])).values())
        both = ranking_metrics(np.array([score, score + added]), np.arange(3) * len(targets), np.tile(targets, 2), k)
        found = both[f"ndcg@{k}"]
        gains[row] = found[1] - found[0]
    return paired_bootstrap(gains, queries.user, np.random.default_rng(0))


def _ask(study: Study, start: int, end: int, most: int, time_zone: str, rng: np.random.Generator) -> Asked:
    queries, zone = make_queries(study.events, start, end, max_queries=most, rng=rng), ZoneInfo(time_zone)
    contexts = [json.loads(text) if text else {} for text in study.contexts(queries).to_list()]
    days = [datetime.fromtimestamp(second, UTC).astimezone(zone).date() for second in queries.timestamp.tolist()]
    return Asked(queries, contexts, days)


def read_judged(base_folder: Path) -> dict | None:
    """What `judge_promotions` found; None in a shop without promotions."""
    place = base_folder / PROMOTIONS / JUDGED
    return read_json(place) if place.is_file() else None


_NO_SEGMENTS = pl.DataFrame(schema={"segment": pl.String, "event_id": pl.String})
