"""How the base ranks and predicts clicks on the report window, beside everything trivial."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recsys_core.adaptation import Study
from recsys_core.base_model import Ranker
from recsys_core.evaluation.certify import Certifier
from recsys_core.evaluation.contest import SLICES, Contest, Scorer, run_contest
from recsys_core.evaluation.fairness import measure_fairness
from recsys_core.evaluation.leakage import Certificate
from recsys_core.evaluation.off_policy import OffPolicyConfig, policy_value, ranker_log
from recsys_core.evaluation.results import (
    ExposureMethod,
    Exposures,
    Fairness,
    Gain,
    KnownSteps,
    MethodResult,
    PolicyResult,
    WindowFacts,
)
from recsys_core.evaluation.segments import EvaluationConfig, Rivals
from recsys_core.interactions import BASE, Queries, Window, cut_histories, make_queries
from recsys_core.metrics import (
    Interval,
    auc,
    calibration_error,
    coverage,
    expected_ranks,
    fit_like_ratio,
    log_loss,
    long_tail,
    metrics_from_ranks,
    novelty,
    paired_bootstrap,
    reliability,
    slice_targets,
    split_targets,
    tie_ranks,
    top_items,
    user_auc,
    user_aucs,
)
from recsys_core.oversight import FairnessSpec

log = logging.getLogger(__name__)

STEPS = (0, 1, 2, 4, 8, 16, None)  # known steps they are compared at; None: all there are


@dataclass(frozen=True)
class BaseEvaluation:
    """How the base ranks beside everything trivial.

    Args:
        methods: one per ranker.
        gains: over each rival, per slice.
        known_steps: the same rankers with little known.
        queries: what was asked.
        fairness: by groups of shoppers and items, of the base.
    """

    methods: list[MethodResult]
    gains: list[Gain]
    known_steps: list[KnownSteps]
    queries: Queries
    fairness: Fairness


def evaluate_base(study: Study, config: EvaluationConfig, groups: FairnessSpec | None = None) -> BaseEvaluation:
    """Rank a sample of everybody's steps of the report window with the base and its rivals as they were at its start.

    Args:
        study: the shop's events beside the base.
        config: how the base is judged.
        groups: of shoppers and items that are looked at; None: those of items that need no declaration.
    """
    window, rng = study.base.plan[BASE], np.random.default_rng([config.seed, 11])
    events, size, metric = study.events, len(study.base.catalogue), config.gate.metric
    queries = make_queries(events, window.report_start, window.report_end, max_queries=config.base_queries, rng=rng)
    base, rivals = study.base_at(window.report_start)[0], Rivals(events, size).at(window.report_start)
    contest = run_contest(base, queries, rivals=rivals, k=config.k)
    methods = [_method(name, slices, queries, rng) for name, slices in contest.items()]
    popularity, lists = base.counts.popularity, answer_all(base, queries, config.k)
    methods[0] = methods[0].model_copy(update={
        "ours": True, "coverage": coverage(lists, size),
        "novelty": float(novelty(lists, popularity).mean()) if len(lists) else None,
        "long_tail_recall": _long_tail_recall(base, queries, popularity, config.k)})
    gains = [Gain(over=rival, slice=part, metric=metric, interval=interval)
             for rival in rivals for part in SLICES
             if (interval := _gain(contest, rival, part, queries, metric, rng)) is not None]
    few = make_queries(events, window.report_start, window.report_end, max_queries=config.max_queries, rng=rng)
    known = measure_known_steps(base, rivals, few, config, rng)
    fairness = measure_fairness(study, groups or FairnessSpec(), base, queries, contest["base"]["all"][metric], lists, rng) \
        if len(queries) else Fairness()
    return BaseEvaluation(methods, gains, known, queries, fairness)


def answer_all(base: Ranker, queries: Queries, k: int) -> np.ndarray:
    """int [n, k]: the items that every question is answered with, best first."""
    ties = tie_ranks(base.catalogue.item_ids, base.counts.popularity)
    return np.concatenate([top_items(base.score(queries.histories[low:low + 128]), k, ties)
                           for low in range(0, len(queries), 128)]) if len(queries) else np.zeros((0, k), int)


def measure_known_steps(base: Ranker, rivals: Mapping[str, Scorer], queries: Queries, config: EvaluationConfig,
                        rng: np.random.Generator) -> list[KnownSteps]:
    """The rankers on the same questions with no more than so many of each shopper's steps known."""
    found = []
    for steps in STEPS if len(queries) else ():
        known = queries if steps is None else cut_histories(queries, steps)
        contest = run_contest(base, known, rivals=rivals, k=config.k)
        found.append(KnownSteps(steps=steps, metrics={
            name: _interval(slices["all"][config.gate.metric], queries.user, rng) for name, slices in contest.items()}))
    return found


def _method(name: str, slices: dict, queries: Queries, rng: np.random.Generator) -> MethodResult:
    metrics = {part: {metric: _interval(values, queries.user, rng) for metric, values in found.items()}
               for part, found in slices.items() if np.isfinite(next(iter(found.values()))).any()}
    return MethodResult(method=name, metrics=metrics)


def _interval(values: np.ndarray, users: np.ndarray, rng: np.random.Generator) -> Interval:
    kept = np.isfinite(values)
    return paired_bootstrap(values[kept], users[kept], rng)


def _gain(contest: Contest, rival: str, part: str, queries: Queries, metric: str,
          rng: np.random.Generator) -> Interval | None:
    difference = contest["base"][part][metric] - contest[rival][part][metric]
    return _interval(difference, queries.user, rng) if np.isfinite(difference).any() else None


def _long_tail_recall(base: Ranker, queries: Queries, popularity: np.ndarray, k: int) -> float | None:
    """Recall@k of the targets among the least popular 80% of items."""
    tail, values = long_tail(popularity), []
    for low in range(0, len(queries), 128):
        high = min(low + 128, len(queries))
        indptr = queries.target_indptr[low:high + 1] - queries.target_indptr[low]
        targets = queries.targets[queries.target_indptr[low]:queries.target_indptr[high]]
        kept, kept_indptr = slice_targets(indptr, tail[targets])
        if len(kept):
            ranks = expected_ranks(base.score(queries.histories[low:high])[kept], kept_indptr, targets[tail[targets]])
            values.append(metrics_from_ranks(*ranks, kept_indptr, k)[f"recall@{k}"])
    return float(np.concatenate(values).mean()) if values else None


def certify_base(study: Study, *, order_only: bool) -> Certificate:
    """Prove that the base that is judged saw nothing of the report window."""
    window, certifier = study.base.plan[BASE], Certifier(study, order_only)
    everything = np.ones(len(study.events), bool)
    return certifier.certify(BASE, {"report": (everything, window.report_start, window.report_end)})


def describe_window(window: Window, queries: Queries, time_zone: str, *, order_only: bool) -> WindowFacts:
    """The report window as people read it."""
    repeat = split_targets(queries.target_indptr, queries.targets, queries.histories)
    first, last = show_span(window.report_start, window.report_end, time_zone, order_only=order_only)
    return WindowFacts(name="report", first=first, last=last, queries=len(queries),
                       users=len(np.unique(queries.user)), targets=len(queries.targets),
                       repeat_share=float(repeat.mean()) if len(repeat) else None)


def show_span(start: int, end: int, time_zone: str, *, order_only: bool) -> tuple[str, str]:
    """First and last local day of [start, end); order-only shops have reverse positions instead."""
    if order_only:
        last = (end - 1) // 86_400 * 86_400 + 86_399  # the pseudo-day's last second is the newest step
        return f"step −{last - start}", f"step −{last - end + 1}"
    zone = ZoneInfo(time_zone)
    return (datetime.fromtimestamp(start, zone).date().isoformat(),
            datetime.fromtimestamp(end - 1, zone).date().isoformat())


def evaluate_clicks(study: Study, exposures: pl.DataFrame, config: EvaluationConfig,
                    time_zone: str) -> Exposures | None:
    """The click head on the report window's impressions, beside the base rate and the like-ratio.

    Returns:
        None in a shop without impressions, or without both outcomes on either side of the cut-off.
    """
    window, model = study.base.plan[BASE], study.base.click("judged")
    seconds = exposures["timestamp"].dt.epoch("s")
    known = exposures.filter(seconds < window.gate_start)
    judged = exposures.filter((seconds >= window.report_start) & (seconds < window.report_end))
    if model is None or judged["label"].n_unique() < 2:
        return None
    labels = judged["label"].to_numpy().astype(np.float64)
    users = judged["user_id"].rank("dense").to_numpy().astype(np.int64)
    numbered = pl.concat([known["user_id"], judged["user_id"]]).rank("dense").to_numpy().astype(np.int64) - 1
    known_labels = known["label"].to_numpy()
    ratio = fit_like_ratio(numbered[:known.height], known_labels)
    items = known.group_by("item_id").agg(pl.col("label").sum().alias("yes"), pl.len().alias("shown"))
    rate = float(known_labels.mean())
    item_rate = judged.join(items, on="item_id", how="left", maintain_order="left").select(
        (pl.col("yes").fill_null(0) + 20 * rate) / (pl.col("shown").fill_null(0) + 20)).to_series().to_numpy()
    found = {"click_model": model.predict(judged), "like_ratio": _within(ratio.score(numbered[known.height:]), rate),
             "item_rate": item_rate, "base_rate": np.full(len(labels), rate)}
    methods = [ExposureMethod(method=name, ours=name == "click_model", auc=auc(labels, p),
                              uauc=user_auc(labels, p, users), log_loss=log_loss(labels, p),
                              calibration_error=calibration_error(labels, p)) for name, p in found.items()]
    first, last = show_span(window.report_start, window.report_end, time_zone, order_only=False)
    return Exposures(first=first, last=last, rows=len(labels), users=len(np.unique(users)),
                     base_rate=float(labels.mean()), methods=methods,
                     uauc_gains=_uauc_gains(labels, found, users, config),
                     reliability=[tuple(map(float, row)) for row in reliability(labels, found["click_model"])],
                     policy=_base_policy(study, judged, config))


def _base_policy(study: Study, judged: pl.DataFrame, config: EvaluationConfig) -> PolicyResult | None:
    """What the base would earn in the place of whatever chose these impressions; None without propensities."""
    settings, rng = OffPolicyConfig(), np.random.default_rng([config.seed, 17])
    base, _ = study.base_at(study.base.plan[BASE].report_start)
    shown = ranker_log(base, study.events, judged, settings, rng)
    if shown is None or not shown.probability.any():
        return None
    found = policy_value(shown, settings, rng)
    return PolicyResult(logged=found.logged, ips=found.ips, snips=found.snips, effective_rows=found.effective_rows,
                        mean_weight=found.mean_weight, clipped=found.clipped)


def _within(probabilities: np.ndarray, rate: float) -> np.ndarray:
    """Probabilities kept off 0 and 1, where the log-loss is infinite."""
    return np.clip(probabilities, rate / 100, 1 - rate / 100)


def _uauc_gains(labels: np.ndarray, found: dict[str, np.ndarray], users: np.ndarray,
                config: EvaluationConfig) -> dict[str, Interval]:
    rng = np.random.default_rng([config.seed, 13])
    ours, _ = user_aucs(labels, found["click_model"], users)
    return {name: paired_bootstrap(ours - user_aucs(labels, found[name], users)[0], np.arange(len(ours)), rng)
            for name in ("like_ratio", "item_rate") if len(ours)}
