"""Everything the evaluation found, gathered into one `Results` record, with the segments' final decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.adaptation import Study
from recsys_core.artefacts import read_json
from recsys_core.evaluation.base import (
    certify_base,
    describe_window,
    evaluate_base,
    evaluate_clicks,
    show_span,
)
from recsys_core.evaluation.curve import ShotCurve
from recsys_core.evaluation.gate import AUDIENCES, Trial, decide
from recsys_core.evaluation.leakage import Certificate
from recsys_core.evaluation.offers import read_judged
from recsys_core.evaluation.results import (
    AudienceResult,
    Curve,
    MemberResult,
    PromotionsResult,
    Results,
    SearchResult,
    SegmentResult,
    ShopFacts,
    StudentResult,
    TaskResult,
)
from recsys_core.evaluation.segments import EvaluationConfig
from recsys_core.evaluation.stored import NextDays
from recsys_core.ingestion import ShopConfig
from recsys_core.interactions import BASE, Window
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.tasks import ADAPTED, KINDS
from recsys_core.text_encoder import TextEncoderArtefact

NIGHTS = "nights.json"
ENOUGH_NIGHTS = 5  # fewer days say little of other days
JUDGED_NIGHTLY = ("served", "personal_frequency", "popularity")
ASKED_OF_TASKS = ("proven", "reason", "groups", "score", "rivals", "gains", "unsure_below", "test")


@dataclass(frozen=True)
class Evidence:
    """What the earlier stages made.

    Args:
        text_encoder: the encoder's folder.
        student: the student's folder.
        search: the folder of the learned search.
        tasks: the folder of the labelled tasks.
        evaluations: segment or family → folder of its evaluation.
        exposures: the feature table, `schema.EXPOSURES`.
        quarantined: reason → rows that cleaning set aside.
        nights: the folder of the days that were judged as served.
    """

    text_encoder: Path
    student: Path
    search: Path
    tasks: Path
    evaluations: Mapping[str, Path]
    exposures: pl.DataFrame
    quarantined: Mapping[str, int]
    nights: Path | None = None


def make_results(study: Study, evidence: Evidence, shop: ShopConfig, profile: str, config: EvaluationConfig) -> Results:
    """Judge the base, decide every segment (Holm over all segments and audiences), and gather it all.

    Raises:
        LeakageError: the base's own certificate does not hold.
    """
    certificate = certify_base(study, order_only=shop.order_only)
    certificate.raise_if_broken()
    ranked = evaluate_base(study, config, shop.fairness)
    kinds = {**{segment.name: segment.kind for segment in shop.segments}, **{family.name: "family" for family in shop.families}}
    evaluations = {name: read_json(folder / "evaluation.json") for name, folder in evidence.evaluations.items()
                   if name in kinds}
    decisions = decide(trials_of(evaluations.values()), config.gate)
    window = study.base.plan[BASE]
    return Results(
        shop=_shop_facts(study, evidence, shop, profile), metric=config.gate.metric,
        windows=[describe_window(window, ranked.queries, shop.time_zone, order_only=shop.order_only)],
        methods=ranked.methods, next_days=_next_days(evidence.nights, config.seed), gains=ranked.gains,
        known_steps=ranked.known_steps, promotions=_promotions(study), fairness=ranked.fairness,
        exposures=evaluate_clicks(study, evidence.exposures, config, shop.time_zone),
        segments=[_segment(name, kinds[name], found, decisions[name], shop) for name, found in evaluations.items()],
        certificates=[certificate] + [Certificate.from_json(found["certificate"]) for found in evaluations.values()
                      if found["certificate"]],
        curves=_curves(evidence), student=_student(evidence.student), search=_search(evidence.search),
        tasks=_tasks(evidence.tasks), notes=_notes(study, shop))


def trials_of(evaluations: Iterable[Mapping[str, Any]]) -> list[Trial]:
    """Every trial of every evaluation.json, audiences in their usual order."""
    return [Trial(**found["audiences"][audience]["trial"]) for found in evaluations for audience in AUDIENCES]


def _shop_facts(study: Study, evidence: Evidence, shop: ShopConfig, profile: str) -> ShopFacts:
    first, last = show_span(int(study.events.timestamp.min()), int(study.events.timestamp.max()) + 1,
                            shop.time_zone, order_only=shop.order_only)
    return ShopFacts(
        name=shop.name, profile=profile, first_day=first, last_day=last, users=len(study.events.user_ids),
        items=len(study.base.catalogue), distinct_texts=len(study.base.catalogue.vectors),
        events=len(study.events), exposures=evidence.exposures.height,
        quarantined=dict(evidence.quarantined), order_only=shop.order_only)


def _segment(name: str, kind: str, found: dict, decision: dict, shop: ShopConfig) -> SegmentResult:
    about = {"name": name, "kind": kind, "by": found["by"], "reason": decision["reason"], "shots": found["shots"],
             "method": found["method"], "members": found["member_count"]}
    if found["window"] is None:
        return SegmentResult(decision="no data", **about)
    window = Window(**found["window"])

    def span(low: int, high: int) -> str:
        return " … ".join(show_span(low, high, shop.time_zone, order_only=shop.order_only))

    asked = any(one["report"] and one["report"]["questions"] for one in found["audiences"].values())
    return SegmentResult(
        decision=decision["decision"] if asked else "no data", audiences=decision["audiences"],
        support=span(window.support_start, window.gate_start), gate=span(window.gate_start, window.report_start),
        report=span(window.report_start, window.report_end),
        by_audience={audience: _audience(found["audiences"][audience], audience, decision) for audience in AUDIENCES},
        by_member=[MemberResult(**member) for member in found["members"]],
        curve=ShotCurve.from_json(found["curve"]) if found["curve"] else None, **about)


def _audience(found: dict, audience: str, decision: dict) -> AudienceResult:
    trial, report = Trial(**found["trial"]), found["report"]
    gains = {part: Interval.from_json(gain) for part, gain in report["gain_by_slice"].items()}

    def at_gate(rival: str) -> Interval | None:
        return Interval.from_json(trial.gains[rival]) if rival in trial.gains else None

    return AudienceResult(
        promoted=audience in decision["audiences"], questions=report["questions"], users=report["users"], ndcg=report["means"],
        gain=gains.get("all"), gain_by_slice=gains, gate_gain=at_gate("base"), toughest=trial.toughest,
        toughest_gain=at_gate(trial.toughest), p_holm=decision["p_holm"][audience], minimum_detectable=trial.minimum_detectable)


def _promotions(study: Study) -> PromotionsResult | None:
    found = read_judged(study.base.folder)
    return PromotionsResult.model_validate(found) if found else None


def _curves(evidence: Evidence) -> list[Curve]:
    about = TextEncoderArtefact(evidence.text_encoder).about
    rows = about["curves"]
    tuning = {"training": [(r["step"], r["loss"]) for r in rows if r.get("loss") is not None],
              "held out": [(r["step"], r["held_out_loss"]) for r in rows]}
    distilled = read_json(evidence.student / "curves.json")
    return [Curve(title="text encoder: contrastive loss", series=tuning),
            *(Curve(title=f"{name}: {what}", series={"training": [(r["step"], r["loss"]) for r in distilled[key]]})
              for name, key, what in [("student", "student", "distillation loss"),
                                      ("without a teacher", "without a teacher", "contrastive loss")])]


def _student(folder: Path) -> StudentResult:
    about = read_json(folder / "student" / "student.json")
    serves = {"static": "static student", "onnx": "transformer student, int8"}[about["serves"]]
    found, queries = about["comparison"][serves], about["queries"]
    learnt = f"{queries['generated']} generated, {queries['logged']} logged"
    measured = f"{queries['measured_on']} {'held-out' if queries['held_out'] else 'learnt'} queries"
    table = {name: ", ".join(f"{k} {v:.3f}" for k, v in one.items()) for name, one in about["comparison"].items()}
    return StudentResult(cosine=found["cosine"], megabytes=about["megabytes"][about["serves"]], top10_overlap=found["recall@10"],
                         facts={"serves": serves, "queries": learnt, "compared on": measured, **table})


def _next_days(folder: Path | None, seed: int) -> NextDays | None:
    """Means over days, where there are enough: a day's events resemble each other, so the day is drawn."""
    rows = read_json(folder / NIGHTS) if folder is not None and (folder / NIGHTS).is_file() else []
    if len(rows) < ENOUGH_NIGHTS:
        return None
    rng, each = np.random.default_rng([seed, 31]), np.arange(len(rows))
    ndcg = {name: np.array([row[name] for row in rows]) for name in JUDGED_NIGHTLY}
    served = ndcg[JUDGED_NIGHTLY[0]]
    return NextDays(
        days=len(rows), first_day=rows[0]["day"], last_day=rows[-1]["day"], questions=sum(row["questions"] for row in rows),
        ndcg={name: paired_bootstrap(values, each, rng) for name, values in ndcg.items()},
        gains={name: paired_bootstrap(served - ndcg[name], each, rng) for name in JUDGED_NIGHTLY[1:]})


def _search(folder: Path) -> SearchResult:
    found = read_json(folder / "search.json")
    about, judged = found["about"], found["judged"] or {"by": None, "slices": {}}
    return SearchResult(source=about["source"], queries=about["queries"], gained=about["gained_ndcg"], weights=found["config"],
                        judged_by=judged["by"], slices=judged["slices"])


def _tasks(folder: Path) -> list[TaskResult]:
    return [TaskResult(name=name, kind=about.get("kind", "none"), examples=about.get("examples", 0),
                       measure=KINDS[about["kind"]].measure if "kind" in about else "",
                       **{field: about[field] for field in ASKED_OF_TASKS if field in about})
            for name, about in sorted(read_json(folder / ADAPTED)["tasks"].items())]


def _notes(study: Study, shop: ShopConfig) -> list[str]:
    notes = []
    if shop.order_only:
        notes.append("The shop has an order but no times: windows are positions counted from each shopper's "
                     "newest step, and temporal leakage is not certifiable.")
    if not study.base.reads_texts:
        notes.append(f"{study.base.summary['unknown_share']:.0%} of the item texts' words are unknown to the text "
                     "encoder or spelled letter by letter: search and text vectors go by words and character pairs "
                     "instead, not by meaning; `base_model: multilingual` in shop.yaml would read them.")
    catalogue = study.base.catalogue
    if len(catalogue.vectors) < 0.9 * len(catalogue):
        notes.append(f"{len(catalogue):,} items share {len(catalogue.vectors):,} distinct texts: text alone cannot "
                     "tell many of them apart, behaviour has to.")
    return notes
