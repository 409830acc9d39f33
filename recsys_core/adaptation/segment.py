"""One segment's artefact: the adapter that is judged, its placebo, the adapter that ships, and their shots.

Folder: segment.json, shots.parquet, and as far as they exist judged/, placebo/, serving/ (adapters).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.adaptation.adapt import AdaptationConfig, adapt_segment, view_base
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Prior
from recsys_core.adaptation.continual import (
    JUDGED,
    PLACEBO,
    SERVING,
    Last,
    bound_forgetting,
    load_last,
)
from recsys_core.adaptation.methods import CLOSED_FORM, LAST, LORA, Methods, closed_form_methods, lora_methods
from recsys_core.adaptation.prefix import Prefix
from recsys_core.adaptation.shots import Shots, draw_shots, shots_from_rows
from recsys_core.adaptation.stale import segment_fingerprints
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import write_json
from recsys_core.base_model.ranker import Ranker
from recsys_core.base_model.tune import TextEncoderArtefact
from recsys_core.evaluation.windows import BASE, Window

log = logging.getLogger(__name__)

SCRATCH = ".peft"  # where PEFT writes before the adapter it belongs to is saved


def make_segment_adapter(folder: Path, study: Study, segment: str, window: Window | None, config: AdaptationConfig,
                         prefix: Prefix | None = None, last: Last | None = None,
                         scenes: Mapping[str, Adapter] | None = None) -> dict:
    """Adapt a segment and write its artefact into `folder` (staged by the caller).

    Args:
        window: its windows; None where the segment cannot be judged (then nothing is adapted).
        prefix: the encoder's cached activations, where LoRA may be tried.
        last: what the segment's artefact held before. scenes: adapters of scenes that ended before this window, last
            year's of the same scene among them: it may move on from the nearest.

    Returns:
        what segment.json holds: method, shots, reason why there is no adapter, lock, fingerprint.
    """
    member = study.member(segment)
    about = {"segment": segment, "lock": study.base.lock, "events": int(member.sum()), "method": "base",
             "fingerprint": segment_fingerprints(study.segment_events, [segment])[segment], "shots": 0,
             "window": window.to_dict() if window else None, "config": config.model_dump(mode="json")}
    if window is None:
        about["reason"] = "no window: its dates lie outside the data, or too close to its beginning"
    else:
        methods = lora_methods(prefix, config.lora, folder / SCRATCH) if prefix else closed_form_methods
        about |= _Adaptation(study, segment, window, member, config, methods, last, scenes or {}).run(folder)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    write_json(folder / "segment.json", about)
    return about


@dataclass(frozen=True)
class _Adaptation:
    """One segment's adaptation: the judged adapter, then with the method and scale it chose the placebo and what ships."""

    study: Study
    segment: str
    window: Window
    member: np.ndarray
    config: AdaptationConfig
    methods: Methods
    last: Last | None
    scenes: Mapping[str, Adapter]

    def run(self, folder: Path) -> dict:
        """Write the adapters and their shots; what segment.json says of them."""
        config, twin = self.config, self.study.twin(self.window)
        shots = draw_shots(self.study.events, self.window.support_start, self.window.gate_start, self.member,
                           config.shots, np.random.default_rng([config.shots.seed, 0]), self.study.support_users,
                           self._replay(JUDGED), self.study.strata)
        judged, drawn = self._fit(twin, shots, JUDGED, None), {JUDGED: shots}
        if judged is not None:
            method, scale = judged.settings["method"], judged.settings["scale"]
            outside = method if method == LORA else CLOSED_FORM  # a placebo knows nothing of the segment, no start either
            drawn[PLACEBO] = draw_placebo(self.study, self.window, self.member, config, len(shots))
            drawn[SERVING] = self._newest_shots()
            made = {JUDGED: judged, PLACEBO: self._fit(twin, drawn[PLACEBO], PLACEBO, (outside, scale)),
                    SERVING: self._fit(self.study.serving, drawn[SERVING], SERVING, (method, scale))}
            for name, adapter in made.items():
                if adapter is not None:
                    adapter.save(folder / name)
        pl.concat(self.study.describe(used.rows, name) for name, used in drawn.items()).write_parquet(folder / "shots.parquet")
        if judged is not None:
            return {"shots": len(shots), "method": judged.settings["method"], "reason": "", "settings": judged.settings}
        enough = len(shots) >= config.shots.min_shots
        return {"shots": len(shots), "reason": "no adapter: no method predicts left-out shoppers better than the base and "
                "helps their lists" if enough else f"no adapter: {len(shots)} shots, needs {config.shots.min_shots}"}

    def _fit(self, base: tuple[Ranker, Prior], shots: Shots, use: str, only: tuple[str, float] | None) -> Adapter | None:
        """One adapter; what is judged or ships may move on from earlier ones, and forgets only so much of its last one."""
        (ranker, prior), own = base, self.last if use != PLACEBO else None
        last = getattr(own, use) if own else None
        starts = {} if use == PLACEBO else {**self.scenes, **({LAST: last} if last else {})}
        fresh = ~np.isin(shots.rows, own.rows[use]) if own else None
        if fresh is not None and only is None and fresh.sum() < self.config.shots.min_shots:
            starts, fresh = self.scenes, None  # nothing is left that could judge the last adapter
        adapter = adapt_segment(prior, ranker, self.segment, shots, self.config,
                                np.random.default_rng([self.config.shots.seed, 3]), methods=self.methods, starts=starts,
                                fresh=fresh, only=only)
        if adapter is None or last is None or not len(own.rows[use]):
            return adapter
        events = self.study.events
        old = shots_from_rows(events, np.flatnonzero(np.isin(events.row, own.rows[use])))
        return bound_forgetting(last, adapter, old.items, view_base(ranker, old), prior.catalogue, self.config.continual)

    def _newest_shots(self) -> Shots:
        """Shots for what ships: everybody's, from a stretch as long as the support, ending with the report."""
        length = self.window.gate_start - self.window.support_start
        return draw_shots(self.study.events, self.window.report_end - length, self.window.report_end, self.member,
                          self.config.shots, np.random.default_rng([self.config.shots.seed, 2]),
                          replay=self._replay(SERVING), strata=self.study.strata)

    def _replay(self, use: str) -> tuple[np.ndarray, float] | None:
        return (self.last.rows[use], self.config.continual.replay) if self.last else None


def draw_placebo(study: Study, window: Window, member: np.ndarray, config: AdaptationConfig, k: int) -> Shots:
    """As many shots of the same window from outside the segment.

    A scene that takes in everything leaves nothing outside in its own days: then of as many days before it.
    """
    rng, limits = np.random.default_rng([config.shots.seed, 1]), config.shots.model_copy(update={"k": max(k, 1)})
    length = window.gate_start - window.support_start
    for start in (window.support_start, window.support_start - length):
        shots = draw_shots(study.events, start, start + length, ~member, limits, rng, study.support_users,
                           strata=study.strata)
        if len(shots) >= config.shots.min_shots:
            break
    return shots


def load_adapter(folder: Path, name: str, lock: dict[str, str]) -> Adapter | None:
    """One of the segment's adapters, or None where it has none."""
    place = folder / name
    return Adapter.load(place, lock) if place.is_dir() else None


def adapt_segments(folders: dict[str, Path], study: Study, encoder: TextEncoderArtefact,
                   config: AdaptationConfig, previous: Path | None = None) -> dict[str, dict]:
    """Adapt many segments in one step, sharing the base; LoRA is tried where there are most events.

    Args:
        folders: segment → staged folder to write its artefact into. previous: the folder with the artefacts as
            they were before this step; adapters of this base move on from them.

    Returns:
        segment → what its segment.json holds, and its `folder`.
    """
    plan = study.base.plan
    events = {name: int(study.member(name).sum()) for name in folders if name in plan}
    richest = sorted(events, key=lambda name: (-events[name], name))[:config.lora_segments if study.base.reads_texts else 0]
    prefix = Prefix(encoder.load(), study.base.catalogue.texts) if richest else None
    made = {}
    # Segments of one cut-off follow each other, so that each twin is loaded once; a scene follows last year's.
    order = sorted(folders, key=lambda name: (plan[name].support_start if name in plan else 0, name))
    for done, name in enumerate(order, start=1):
        last = load_last(previous / name, study.base.lock, plan[name], study.table) if previous and name in plan else None
        about = make_segment_adapter(folders[name], study, name, plan.get(name), config,
                                     prefix if name in richest else None, last,
                                     earlier_scenes(name, study, folders, previous))
        made[name] = {**about, "folder": folders[name]}
        log.info("adapted %d of %d: %s", done, len(order), name)
    return made


def earlier_scenes(name: str, study: Study, folders: dict[str, Path], previous: Path | None) -> dict[str, Adapter]:
    """The shipped adapters of scenes that were over before a segment's window began, for scenes only."""
    plan, base = study.base.plan, study.base.plan[BASE]
    if name not in plan or plan[name].bounds == base.bounds:
        return {}
    found = {}
    for other, window in plan.items():
        place = folders.get(other) or (previous / other if previous else None)
        if place and window.bounds != base.bounds and window.report_end <= plan[name].support_start:
            adapter = load_adapter(place, SERVING, study.base.lock) if (place / SERVING).is_dir() else None
            found |= {other: adapter} if adapter else {}
    return found
