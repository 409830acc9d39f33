"""Judge a segment or family per audience: the gate window decides, figures are published from the report window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.adaptation import Study
from recsys_core.evaluation.certify import Certifier
from recsys_core.evaluation.contest import Contest, Scorer, join_contests, run_contest, take_rows
from recsys_core.evaluation.contestants import Adaptation, Contestants, MakeBlends, capped
from recsys_core.evaluation.curve import CurveConfig, ShotCurve, curve_sizes, make_curve
from recsys_core.evaluation.gate import AUDIENCES, BASE_SERVES, PAGE_SERVES, GateConfig, Trial, no_trial, try_adapter
from recsys_core.evaluation.leakage import Certificate
from recsys_core.evaluation.questions import Questions, ask, blocks
from recsys_core.ingestion import SegmentSpec, split_condition
from recsys_core.interactions import Audience, Interactions, Window, known_steps
from recsys_core.metrics import fit_item_knn, fit_personal_frequency, fit_popularity, paired_bootstrap

BLOCK = 64  # questions whose contestants' scores are held at once


class EvaluationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments and the base are judged."""

    gate: GateConfig = GateConfig()
    curve: CurveConfig = CurveConfig()
    max_queries: int = Field(300, ge=10, description="steps asked per segment and window")
    family_queries: int = Field(1000, ge=10, description="steps asked per family and window: its members share the evidence")
    member_queries: int = Field(2000, ge=0, description="steps asked of a family's members one by one")
    per_member: int = Field(10, ge=1, description="of those, about one member at most")
    base_queries: int = Field(800, ge=10, description="steps asked of the base on the report window")
    k: int = Field(10, ge=1)
    seed: int = 0


class Rivals:
    """The trivial rankers, fitted once per cut-off."""

    def __init__(self, events: Interactions, n_items: int) -> None:
        self.events, self.n_items = events, n_items
        self._cutoff: int | None = None
        self._fitted: dict[str, Scorer] = {}

    def at(self, cutoff: int) -> dict[str, Scorer]:
        """Popularity, personal frequency, item-kNN and last item of the events before `cutoff` (as the base)."""
        if self._cutoff != cutoff:
            train, knn = self.events.before(cutoff), fit_item_knn(self.events.before(cutoff), self.n_items)
            self._cutoff = cutoff
            self._fitted = {"popularity": fit_popularity(train, self.n_items),
                            "personal_frequency": fit_personal_frequency(train, self.n_items),
                            "item_knn": knn, "last_item": knn.on_newest_step()}
        return self._fitted


@dataclass(frozen=True)
class Contested:
    """What one window's questions showed."""

    questions: Questions
    contests: dict[Audience, Contest]


class SegmentJudge:
    """Judges segments and families one by one; holds what they share. It pickles as its study does.

    Args:
        study: the shop's events beside the base.
        config: how they are judged.
        order_only: the shop has positions, no times.
    """

    def __init__(self, study: Study, config: EvaluationConfig, order_only: bool) -> None:
        self.study, self.config, self.order_only = study, config, order_only
        self.certifier = Certifier(study, order_only)

    def judge_gate(self, name: str, window: Window, adaptation: Adaptation | None, incumbent: Adaptation | None,
                   reason: str) -> tuple[dict, pl.DataFrame | None]:
        """What decides: the certificate of all windows, and the trials of the gate window.

        Args:
            name: the segment or family.
            window: its windows.
            adaptation: its adapter's; None where it has none.
            incumbent: what serves now, on the same shots.
            reason: why there is no adapter; empty where there is.

        Returns:
            certificate, questions, audience → trial; and every question's figures, None where nobody is asked.

        Raises:
            LeakageError: something that is judged was known before.
        """
        certificate = self.certify(name, window)
        certificate.raise_if_broken()
        end = window.gate_start if adaptation is None else window.report_start  # without an adapter nobody is asked
        gate = self.contest(name, window.gate_start, end, adaptation, incumbent)
        trials = self.try_audiences(name, gate, reason)
        found = {"certificate": certificate.to_json(), "questions": len(gate.questions),
                 "trials": {audience: trial.to_dict() for audience, trial in trials.items()}}
        return found, _long("gate", gate)

    def judge_report(self, name: str, window: Window, adaptation: Adaptation | None, incumbent: Adaptation | None
                     ) -> tuple[dict, pl.DataFrame | None]:
        """What is published: gains, the curve over K, and the members of the report window.

        Args:
            name: the segment or family.
            window: its windows.
            adaptation: its adapter's; None where it has none.
            incumbent: what serves now, on the same shots.

        Returns:
            questions, audience → report, curve, members; and every question's figures, None where nobody is asked.
        """
        report = self.contest(name, window.report_start, window.report_end, adaptation, incumbent)
        rng = np.random.default_rng([self.config.seed, 7])
        found = {"questions": len(report.questions),
                 "audiences": {audience: summarise(report.questions, contest, self.config.gate.metric, rng)
                               for audience, contest in report.contests.items()},
                 "curve": self.curve(name, window, report.questions, adaptation).to_json() if adaptation else [],
                 "members": self.members(name, window, adaptation) if adaptation and self.study.by(name) else []}
        return found, _long("report", report)

    def certify(self, name: str, window: Window) -> Certificate:
        """Prove that each window's base and shots come before its questions."""
        member = self.study.codes(name)[0] >= 0
        return self.certifier.certify(name, {
            "trust": (member, window.support_start, window.gate_start),
            "gate": (member, window.gate_start, window.report_start),
            "report": (member, window.report_start, window.report_end)})

    def contest(self, name: str, start: int, end: int, adaptation: Adaptation | None,
                incumbent: Adaptation | None = None) -> Contested:
        """Ask a sample of [start, end) of every contestant, base and shots as of `start`, for every audience."""
        most = self.config.family_queries if self.study.by(name) else self.config.max_queries
        questions = ask(self.study, name, start, end, most, np.random.default_rng([self.config.seed, start]))
        contestants = Contestants(self.study, name, questions, start, adaptation, incumbent,
                                  np.random.default_rng([self.config.seed, 1]))
        return Contested(questions, self._ask(name, questions, tuple(AUDIENCES), start, contestants.blends))

    def _ask(self, name: str, questions: Questions, audiences: tuple[Audience, ...], cutoff: int,
             blends_of: Callable[[slice], MakeBlends]) -> dict[Audience, Contest]:
        """Contests of some audiences; what the shots say of a block's questions is worked out once for all of them."""
        ranker, _ = self.study.base_at(cutoff)
        views = {audience: questions.for_audience(audience) for audience in audiences}
        now = int(np.median(questions.queries.timestamp)) if len(questions) else None
        pieces: dict[Audience, list[Contest]] = {audience: [] for audience in audiences}
        for rows in blocks(len(questions), BLOCK):
            make = blends_of(rows)
            for audience, view in views.items():
                asked = take_rows(view, rows)
                pieces[audience].append(run_contest(ranker, asked, blends=make(known_steps(asked.histories)), now=now,
                                                    candidates=self.study.candidates(name), k=self.config.k))
        return {audience: join_contests(found) for audience, found in pieces.items()}

    def try_audiences(self, name: str, gate: Contested, reason: str = "") -> dict[Audience, Trial]:
        """One trial per audience.

        Args:
            name: the segment or family.
            gate: what the gate window showed.
            reason: why there is no adapter; empty where there is one.
        """
        otherwise, trials = serves_instead(self.study, name), {}
        for place, (audience, contest) in enumerate(gate.contests.items()):
            if reason:
                trials[audience] = no_trial(name, audience, reason, otherwise)
                continue
            scores = {contestant: slices["all"][self.config.gate.metric] for contestant, slices in contest.items()}
            trials[audience] = try_adapter(name, audience, scores, gate.questions.queries.user, self.config.gate,
                                           np.random.default_rng([self.config.seed, 7, place]), otherwise)
        return trials

    def curve(self, name: str, window: Window, questions: Questions, adaptation: Adaptation) -> ShotCurve:
        """The gain at growing K on the report window's questions, nothing known of the shoppers."""
        sizes = curve_sizes(int(self.study.shots(name, window.report_start).sizes().max(initial=0)), self.config.curve)
        if not sizes or not len(questions):
            return ShotCurve()
        contest = self._ask_capped(name, window.report_start, questions, adaptation, sizes)
        return make_curve({size: self._gain(contest, size) for size in sizes}, questions.queries.user,
                          np.random.default_rng([self.config.seed, 13]))

    def members(self, name: str, window: Window, adaptation: Adaptation) -> list[dict]:
        """Each member's mean gain on the report window, nothing known of the shoppers; the best first."""
        config, rng = self.config, np.random.default_rng([self.config.seed, 29])
        questions = ask(self.study, name, window.report_start, window.report_end, config.member_queries, rng).few_of_each(
            config.per_member, rng)
        shots, values = self.study.shots(name, window.report_start).sizes(), self.study.codes(name)[1]
        most = int(shots.max(initial=0))
        if not len(questions) or not most:
            return []
        gain = self._gain(self._ask_capped(name, window.report_start, questions, adaptation, [most]), most)
        asked, total = (np.bincount(questions.member, weights, len(values)) for weights in (None, gain))
        found = [{"value": values[at], "questions": int(asked[at]), "shots": int(shots[at]), "gain": float(total[at] / asked[at])}
                 for at in np.flatnonzero(asked)]
        return sorted(found, key=lambda member: (-member["gain"], member["value"]))

    def _ask_capped(self, name: str, cutoff: int, questions: Questions, adaptation: Adaptation, sizes: list[int]) -> Contest:
        rng = np.random.default_rng([self.config.seed, 23])
        made = capped(self.study, name, questions, cutoff, adaptation, sizes, rng)
        return self._ask(name, questions, ("none",), cutoff, made)["none"]

    def _gain(self, contest: Contest, size: int) -> np.ndarray:
        metric = self.config.gate.metric
        return contest[str(size)]["all"][metric] - contest["base"]["all"][metric]


def serves_instead(study: Study, name: str) -> str:
    """What serves where a segment's adapter does not: on a page that all may see, the base filtered to it."""
    spec = study.spec(name)
    page = isinstance(spec, SegmentSpec) and spec.kind in ("domain", "custom") and split_condition(spec.where).asked == "true"
    return PAGE_SERVES if page else BASE_SERVES


def summarise(questions: Questions, contest: Contest, metric: str, rng: np.random.Generator) -> dict:
    """Means of every contestant, and the adapter's gains by slice with intervals over users."""
    users, gains = questions.queries.user, {}
    for part, values in contest.get("adapted", {}).items():
        difference = values[metric] - contest["base"][part][metric]
        kept = np.isfinite(difference)
        if kept.any():
            gains[part] = paired_bootstrap(difference[kept], users[kept], rng).to_json()
    return {"questions": len(questions), "users": len(np.unique(users)), "gain": gains.get("all"), "gain_by_slice": gains,
            "means": {name: float(slices["all"][metric].mean()) for name, slices in contest.items()}}


def _long(window: str, found: Contested) -> pl.DataFrame | None:
    """One row per question, audience, contestant and slice, with every metric; NaN where the slice has no target."""
    queries = found.questions.queries
    if not len(queries):
        return None
    return pl.concat([
        pl.DataFrame({"window": [window] * len(queries), "audience": [audience] * len(queries), "user": queries.user,
                      "timestamp": queries.timestamp, "member": found.questions.member, "contestant": [name] * len(queries),
                      "slice": [part] * len(queries), **metrics})
        for audience, contest in found.contests.items() for name, slices in contest.items()
        for part, metrics in slices.items()])
