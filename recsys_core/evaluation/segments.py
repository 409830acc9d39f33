"""Judge one segment's adapter: the gate window decides, the later report window is what is told.

Folder: evaluation.json (trial, curve over K, certificate, report), queries.parquet (one row per query, contestant
and slice).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapt import AdaptationConfig
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.segment import JUDGED, PLACEBO, load_adapter
from recsys_core.adaptation.shots import Shots, shots_from_rows
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import read_json, write_json
from recsys_core.base_model.data import Interactions, Queries, make_queries
from recsys_core.errors import DataError, RecsysError
from recsys_core.evaluation.baselines import (
    fit_from_scratch,
    fit_item_knn,
    fit_personal_frequency,
    fit_popularity,
    fit_segment_popularity,
)
from recsys_core.evaluation.bootstrap import paired_bootstrap
from recsys_core.evaluation.contest import Contest, Scorer, run_contest
from recsys_core.evaluation.curve import CurveConfig, measure_curve
from recsys_core.evaluation.gate import GateConfig, no_trial, try_adapter
from recsys_core.evaluation.leakage import SHOWN_ROWS, Certificate, Check, WindowRows, leakage_certificate
from recsys_core.evaluation.windows import Window
from recsys_core.serving.files import adapter_folder

log = logging.getLogger(__name__)


class EvaluationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments and the base are judged."""

    gate: GateConfig = GateConfig()
    curve: CurveConfig = CurveConfig()
    max_queries: int = Field(300, ge=10, description="steps asked per segment and window")
    base_queries: int = Field(800, ge=10, description="steps asked of the base on the report window")
    k: int = Field(10, ge=1)
    seed: int = 0


class Rivals:
    """The trivial rankers, fitted once per cut-off and shared by the segments of a step."""

    def __init__(self, events: Interactions, n_items: int) -> None:
        self.events, self.n_items = events, n_items
        self._cutoff, self._fitted = None, {}

    def at(self, cutoff: int) -> dict[str, Scorer]:
        """Popularity, personal frequency and item-kNN of the events before `cutoff` (as the twin)."""
        if self._cutoff != cutoff:
            train = self.events.before(cutoff)
            self._cutoff = cutoff
            self._fitted = {"popularity": fit_popularity(train, self.n_items),
                            "personal_frequency": fit_personal_frequency(train, self.n_items),
                            "item_knn": fit_item_knn(train, self.n_items)}
        return self._fitted


class SegmentJudge:
    """Judges segments one by one; holds what they share.

    Args:
        domains: segment → bool [N], the items of segments that are parts of the catalogue.
        order_only: the shop has positions, no times.
    """

    def __init__(self, study: Study, config: EvaluationConfig, domains: dict[str, np.ndarray],
                 order_only: bool) -> None:
        self.study, self.config, self.domains, self.order_only = study, config, domains, order_only

    @cached_property
    def rivals(self) -> Rivals:
        return Rivals(self.study.events, len(self.study.base.catalogue))

    def judge(self, folder: Path, segment: str, adapter_folder: Path, incumbent: Adapter | None) -> dict:
        """Score a segment's adapter and write its evaluation into `folder` (staged by the caller)."""
        about = read_json(adapter_folder / "segment.json")
        result = {"segment": segment, "method": about["method"], "shots": about["shots"], "window": about["window"]}
        if about["window"] is None:
            return unjudged(folder, segment, about["reason"])
        window, member = Window(**about["window"]), self.study.member(segment)
        shots = self._shots(adapter_folder)
        certificate = self.certify(segment, window, member, shots)
        certificate.raise_if_broken()
        contests = {name: self._contest(segment, window, member, shots, adapter_folder, incumbent, *bounds)
                    for name, bounds in (("gate", (window.gate_start, window.report_start)),
                                         ("report", (window.report_start, window.report_end)))}
        rng = np.random.default_rng([self.config.seed, 7])
        queries, contest = contests["gate"]
        if about["method"] == "base":
            trial = no_trial(segment, about["reason"])
        else:
            scores = {name: slices["all"][self.config.gate.metric] for name, slices in contest.items() if slices}
            trial = try_adapter(segment, scores, queries.user, self.config.gate, rng)
        curve = measure_curve(self.study, segment, window, shots, AdaptationConfig(**about["config"]), self.config.curve,
                              k=self.config.k, seed=self.config.seed)
        proven = trial.p_value <= self.config.gate.level
        result |= {"trial": trial.to_dict(), "curve": curve.to_json(), "adapt_from": curve.adapt_from(proven=proven),
                   "certificate": certificate.to_json(), "report": summarise(*contests["report"], self.config.gate.metric, rng)}
        asked = [_long(name, *found) for name, found in contests.items() if len(found[0])]
        if asked:
            pl.concat(asked).write_parquet(folder / "queries.parquet")
        write_json(folder / "evaluation.json", result)
        log.info("%s judged on %d gate and %d report queries", segment, len(queries), len(contests["report"][0]))
        return result

    def _shots(self, adapter_folder: Path) -> Shots:
        """The shots the judged adapter was made from, found again by their event ids."""
        study = self.study
        used = pl.read_parquet(adapter_folder / "shots.parquet").filter(pl.col("use") == JUDGED)["event_id"]
        chosen = study.table["event_id"].is_in(used.implode()).to_numpy()[study.events.row]
        if chosen.sum() != len(used):
            raise DataError(str(adapter_folder / "shots.parquet"), f"{len(used) - chosen.sum()} of {len(used)} shots "
                            "are no positive events of this shop", "adapt the segment again")
        return shots_from_rows(study.events, np.flatnonzero(chosen))

    def certify(self, segment: str, window: Window, member: np.ndarray, shots: Shots) -> Certificate:
        """Prove that training, shots, gate and report follow each other and share nothing."""
        events = self.study.events
        train = events.timestamp < window.support_start
        asked = member & ~self.study.support_users[events.user]

        def rows(low: int, high: int) -> WindowRows:
            at = asked & (events.timestamp >= low) & (events.timestamp < high)
            return WindowRows(events.row[at], events.timestamp[at])

        windows = {"support": WindowRows(shots.rows, shots.queries.timestamp),
                   "gate": rows(window.gate_start, window.report_start),
                   "report": rows(window.report_start, window.report_end)}
        newest = int(events.timestamp[train].max()) if train.any() else window.support_start - 1
        certificate = leakage_certificate(
            segment, newest, windows, train_rows=events.row[train], order_only=self.order_only,
            feature_dates={"text encoder": self.study.base.summary["encoder_cutoff"] - 1})
        late = (shots.queries.timestamp < window.support_start) | (shots.queries.timestamp >= window.gate_start)
        temporal = "broken" if late.any() and not self.order_only else certificate.temporal
        return replace(certificate, temporal=temporal, checks=(
            *certificate.checks, _shot_check("shots inside the support window", late, shots),
            _shot_check("shots of users who are never asked", ~self.study.support_users[shots.users], shots)))

    def _contest(self, segment: str, window: Window, member: np.ndarray, shots: Shots, adapter_folder: Path,
                 incumbent: Adapter | None, start: int, end: int) -> tuple[Queries, Contest]:
        study, catalogue = self.study, self.study.base.catalogue
        rng = np.random.default_rng([self.config.seed, start])
        queries = make_queries(study.events, start, end, target=member, users=~study.support_users,
                               max_queries=self.config.max_queries, rng=rng)
        offsets = {}
        for name, adapter in (("adapted", load_adapter(adapter_folder, JUDGED, study.base.lock)),
                              ("placebo", load_adapter(adapter_folder, PLACEBO, study.base.lock)),
                              ("incumbent", incumbent)):
            if adapter is not None:
                offsets[name] = adapter.offsets(catalogue)
        seen = study.events.timestamp < window.gate_start
        rivals = {**self.rivals.at(window.support_start),
                  "segment_popularity": fit_segment_popularity(study.events, member & seen, len(catalogue)),
                  "from_scratch": fit_from_scratch(shots.queries, len(catalogue))}
        contest = run_contest(study.twin(window)[0], queries, rivals=rivals, offsets=offsets,
                              domain=self.domains.get(segment), k=self.config.k)
        return queries, contest


def _shot_check(name: str, wrong: np.ndarray, shots: Shots) -> Check:
    return Check(name, not wrong.any(), f"{wrong.sum()} of {len(shots)} are not",
                 tuple(f"support row {row}" for row in shots.rows[wrong][:SHOWN_ROWS].tolist()))


def summarise(queries: Queries, contest: Contest, metric: str, rng: np.random.Generator) -> dict:
    """Means of every contestant and slice, and the adapter's gains with intervals over users."""
    means = {name: {s: {m: _mean(values) for m, values in metrics.items()} for s, metrics in slices.items()}
             for name, slices in contest.items()}
    gains = {}
    for name in ("adapted", "placebo"):
        if name not in contest or not len(queries):
            continue
        for part in contest[name]:
            difference = contest[name][part][metric] - contest["base"][part][metric]
            kept = np.isfinite(difference)
            if kept.any():
                interval = paired_bootstrap(difference[kept], queries.user[kept], rng)
                gains.setdefault(name, {})[part] = interval.to_json()
    return {"queries": len(queries), "users": len(np.unique(queries.user)), "targets": len(queries.targets),
            "means": means, "gains": gains}


def _mean(values: np.ndarray) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else None


def _long(window: str, queries: Queries, contest: Contest) -> pl.DataFrame:
    """One row per query, contestant and slice, with every metric; NaN where the slice has no target."""
    return pl.concat([
        pl.DataFrame({"window": [window] * len(queries), "user": queries.user, "timestamp": queries.timestamp,
                      "contestant": [name] * len(queries), "slice": [part] * len(queries), **metrics})
        for name, slices in contest.items() for part, metrics in slices.items()])


def judge_segments(folders: dict[str, Path], study: Study, adapters: dict[str, Path],
                   domains: dict[str, np.ndarray], bundle: Path, config: EvaluationConfig, *,
                   order_only: bool) -> dict[str, dict]:
    """Judge many segments in one step.

    Args:
        folders: segment → staged folder. adapters: segment → its adapter's artefact.
        bundle: the published bundle, whose adapters are the incumbents; it may not exist yet.

    Returns:
        segment → what its evaluation.json holds, and its `folder`.
    """
    judge = SegmentJudge(study, config, domains, order_only)
    plan, judged = study.base.plan, {}
    for name in sorted(folders, key=lambda n: (plan[n].support_start if n in plan else 0, n)):
        try:
            incumbent = load_incumbent(bundle, name, study.base.lock)
            found = judge.judge(folders[name], name, adapters[name], incumbent)
        except RecsysError as error:  # a leak or a broken adapter blocks its own segment and no other
            log.error("%s is blocked: %s", name, error)
            found = unjudged(folders[name], name, f"blocked: {error}")
        judged[name] = {**found, "folder": folders[name]}
    return judged


def unjudged(folder: Path, segment: str, reason: str) -> dict:
    """Write the evaluation of a segment that cannot be judged; it serves the base."""
    result = {"segment": segment, "method": "base", "shots": 0, "window": None,
              "trial": no_trial(segment, reason).to_dict(), "curve": None, "adapt_from": 0, "certificate": None,
              "report": None}
    write_json(folder / "evaluation.json", result)
    return result


def load_incumbent(bundle: Path, segment: str, lock: dict[str, str]) -> Adapter | None:
    """The adapter that serves now, if it was made for this base; another base's cannot be compared."""
    place = bundle / adapter_folder(segment)
    if not place.is_dir():
        return None
    try:
        return Adapter.load(place, lock)
    except RecsysError as error:
        log.info("no incumbent for %s: %s", segment, error)
        return None
