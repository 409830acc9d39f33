"""Adapt segments and families: count their shots, and learn how strongly and how far the counts are to be trusted.

Folder: segment.json, and family/ where the segment has an adapter that could ship.

1. The strengths: chosen on the shots before the support's end T0, each shopper predicted from the others' shots.
2. The trust: chosen on questions of [T0, T1) with base and counts as of T0, by how much is known of the shopper.
3. What could ship: all shots up to the end of the report, with these strengths and this trust.

Whether it ships is decided later, on days that none of this has seen (`evaluation`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.closed_form import PoolConfig, Strengths, Support, choose_strengths
from recsys_core.adaptation.family import METHOD, Family, leave_own_out, make_family
from recsys_core.adaptation.stale import fingerprints
from recsys_core.adaptation.study import Shots, Study
from recsys_core.adaptation.trust import Choice, fit_trust, make_choice
from recsys_core.artefacts import write_json
from recsys_core.fan_out import IN_PROCESS, FanOut
from recsys_core.interactions import Queries, Window, cut_histories, known_steps, take_queries

log = logging.getLogger(__name__)

FAMILY = "family"
SCORED = 64  # questions whose catalogue scores are held at a time


class AdaptationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments and families are adapted."""

    pool: PoolConfig = PoolConfig()
    min_shots: int = Field(4, ge=1, description="with fewer shots the segment stays on the base")
    questions: int = Field(150, ge=1, description="steps asked to learn the trust")
    known: tuple[int, ...] = Field((0, 1, 4), description="each is also asked as if only so many steps were known")
    ridge: float = Field(1.0, gt=0, description="pull of the trust to 0, in choices")
    smooth: float = Field(30.0, ge=0, description="pull between the trust of neighbouring knots, in choices")
    most_trust: float = Field(1.5, gt=0, description="the trust is learned on members that are often asked, which are large: "
                              "more than this would overdo what small ones counted")
    seed: int = 0


def adapt_segments(folders: dict[str, Path], study: Study, config: AdaptationConfig,
                   fan_out: FanOut = IN_PROCESS) -> dict[str, dict]:
    """Adapt many segments and families in one step, sharing the base.

    Args:
        folders: name → staged folder to write its artefact into.
        study: the shop's events beside the base.
        config: how they are adapted.
        fan_out: where; a task per name.

    Returns:
        name → what its segment.json holds, and its `folder`.
    """
    plan, made = study.base.plan, {}
    prints = fingerprints(folders, study.specs, study.segment_events, study.table, study.users)
    # Those of one cut-off follow each other, so that each base is loaded once.
    order = sorted(folders, key=lambda name: (plan[name].support_start if name in plan else 0, name))
    adapted = fan_out.map(partial(_adapt, study, config), order)
    for done, (name, (about, family)) in enumerate(zip(order, adapted, strict=True), start=1):
        if family is not None:
            family.save(folders[name] / FAMILY)
        about |= {"fingerprint": prints[name]}
        write_json(folders[name] / "segment.json", about)
        made[name] = {**about, "folder": folders[name]}
        log.info("adapted %d of %d: %s", done, len(order), name)
    return made


def make_segment_adapter(folder: Path, study: Study, name: str, config: AdaptationConfig) -> dict:
    """Adapt one segment or family and write what could ship below `folder` (staged by the caller).

    Returns:
        what segment.json holds: method, shots before T0, reason why there is no adapter, strengths, trust, lock.
    """
    about, family = _adapt(study, config, name)
    if family is not None:
        family.save(folder / FAMILY)
    return about


def _adapt(study: Study, config: AdaptationConfig, name: str) -> tuple[dict, Family | None]:
    """One segment's or family's segment.json, and what could ship."""
    codes, members = study.codes(name)
    window = study.window(name)
    about = {"segment": name, "by": study.by(name), "kind": study.kind(name), "events": int((codes >= 0).sum()),
             "members": len(members), "shots": 0, "method": "base", "reason": "", "strengths": None, "trust": None,
             "lock": study.base.lock, "window": window.to_dict() if window else None,
             "config": config.model_dump(mode="json")}
    if window is None:
        return about | {"reason": "no window: its dates lie outside the data, or too close to its beginning"}, None
    found, family = _Adaptation(study, name, window, config).run()
    log.info("%s: %s shots, %s", name, found["shots"], found["reason"] or f"trusted {found['trust']}")
    return about | found, family


@dataclass(frozen=True)
class _Adaptation:
    """One segment's adaptation, each step on what the step before found."""

    study: Study
    name: str
    window: Window
    config: AdaptationConfig

    def run(self) -> tuple[dict, Family | None]:
        """What could ship, and what segment.json says of it."""
        every = self.study.all_shots(self.name, self.window.support_start)
        shots, least = every.of_enough(self.study.least_users), self.study.least_users
        about = {"shots": len(shots), "reason": ""}
        if len(every) >= self.config.min_shots and not len(shots):
            most = int(every.shoppers().max())
            whose = f"no member has shots of more than {most} shoppers" if self.study.by(self.name) else \
                f"its shots come from {most} shoppers"
            return about | {"shots": len(every), "reason": f"no adapter: {whose}, needs {least}"}, None
        if len(shots) < self.config.min_shots:
            return about | {"reason": f"no adapter: {len(every)} shots, needs {self.config.min_shots}"}, None
        strengths = self._strengths(shots)
        if strengths.is_off():
            return about | {"reason": "no adapter: its shots do not predict other shoppers better than the base does"}, None
        choices = list(self._choices(strengths))
        if not choices:
            return about | {"reason": "no adapter: no question after its shots to learn from how far to trust them"}, None
        trust = fit_trust(choices, ridge=self.config.ridge, smooth=self.config.smooth, positive=True)[:, 0]
        trust = np.minimum(trust, self.config.most_trust)
        about |= {"strengths": strengths.to_json(), "trust": [round(float(value), 6) for value in trust]}
        if not trust.any():
            return about | {"reason": "no adapter: the questions after its shots are answered better without them"}, None
        family = make_family(self.study, self.name, self.window.report_end, strengths, np.array(about["trust"]))
        return about | {"method": METHOD}, family

    def _strengths(self, shots: Shots) -> Strengths:
        _, prior = self.study.base_at(self.window.support_start)
        share = self.study.share(self.name, prior)
        supports = [Support(shots.items[low:high], shots.users[low:high], share)
                    for low, high in zip(shots.bounds[:-1].tolist(), shots.bounds[1:].tolist(), strict=True)]
        return choose_strengths(prior, supports, self.config.pool, items=True, rng=np.random.default_rng([self.config.seed, 0]))

    def _choices(self, strengths: Strengths) -> Iterator[Choice]:
        """The questions of [T0, T1) whose member has shots of others, each as if little were known, and as it was."""
        study, cutoff, rng = self.study, self.window.support_start, np.random.default_rng([self.config.seed, 1])
        queries = study.questions(self.name, cutoff, self.window.gate_start, self.config.questions, rng)
        offsets = leave_own_out(study, self.name, queries, cutoff, strengths)
        steps = known_steps(queries.histories)
        for known in (*self.config.known, None):
            rows = np.flatnonzero((offsets.row >= 0) & (known is None or steps > known))
            asked = take_queries(queries, rows)
            asked = asked if known is None else cut_histories(asked, known)
            yield from self._asked(asked, [offsets[row] for row in rows.tolist()], rng)

    def _asked(self, queries: Queries, offsets: list[np.ndarray], rng: np.random.Generator) -> Iterator[Choice]:
        ranker, _ = self.study.base_at(self.window.support_start)
        candidates, steps = self.study.candidates(self.name), known_steps(queries.histories)
        past, wanted = queries.histories, queries.target_indptr
        now = int(np.median(queries.timestamp)) if len(queries) else None
        for low in range(0, len(queries), SCORED):
            scores = ranker.score(past[low:low + SCORED], now)
            for row, score in enumerate(scores, start=low):
                yield make_choice(score, offsets[row], queries.targets[wanted[row]:wanted[row + 1]],
                                  past.items[past.indptr[row]:past.indptr[row + 1]], int(steps[row]), rng,
                                  candidates=candidates)
