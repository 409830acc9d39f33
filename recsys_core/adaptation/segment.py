"""One segment's artefact: the adapter that is judged, its placebo, the adapter that ships, and their shots.

Folder: segment.json, shots.parquet, and as far as they exist judged/, placebo/, serving/ (adapters).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.adaptation.adapt import AdaptationConfig, adapt_segment
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Prior
from recsys_core.adaptation.shots import Shots, draw_shots
from recsys_core.adaptation.stale import segment_fingerprints
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import write_json
from recsys_core.base_model.ranker import Ranker
from recsys_core.evaluation.windows import Window

log = logging.getLogger(__name__)

JUDGED, PLACEBO, SERVING = "judged", "placebo", "serving"


def make_segment_adapter(folder: Path, study: Study, segment: str, window: Window | None, config: AdaptationConfig) -> dict:
    """Adapt a segment and write its artefact into `folder` (staged by the caller).

    Args:
        window: its windows; None where the segment cannot be judged (then nothing is adapted).

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
        about |= _Adaptation(study, segment, window, member, config).run(folder)
    write_json(folder / "segment.json", about)
    return about


@dataclass(frozen=True)
class _Adaptation:
    """One segment's adaptation: the judged adapter, then with the scale it chose the placebo and what ships."""

    study: Study
    segment: str
    window: Window
    member: np.ndarray
    config: AdaptationConfig

    def run(self, folder: Path) -> dict:
        """Write the adapters and their shots; what segment.json says of them."""
        config, twin = self.config, self.study.twin(self.window)
        shots = draw_shots(self.study.events, self.window.support_start, self.window.gate_start, self.member,
                           config.shots, np.random.default_rng([config.shots.seed, 0]), self.study.support_users)
        judged, drawn = self._fit(twin, shots), {JUDGED: shots}
        if judged is not None:
            scale = judged.settings["scale"]
            drawn[PLACEBO] = draw_placebo(self.study, self.window, self.member, config, len(shots))
            drawn[SERVING] = self._newest_shots()
            made = {JUDGED: judged, PLACEBO: self._fit(twin, drawn[PLACEBO], scale),
                    SERVING: self._fit(self.study.serving, drawn[SERVING], scale)}
            for name, adapter in made.items():
                if adapter is not None:
                    adapter.save(folder / name)
        pl.concat(self.study.describe(used.rows, name) for name, used in drawn.items()).write_parquet(folder / "shots.parquet")
        if judged is not None:
            return {"shots": len(shots), "method": judged.method, "reason": "", "settings": judged.settings}
        enough = len(shots) >= config.shots.min_shots
        return {"shots": len(shots), "reason": "no adapter: it would not predict left-out shoppers better than the base and "
                "help their lists" if enough else f"no adapter: {len(shots)} shots, needs {config.shots.min_shots}"}

    def _fit(self, base: tuple[Ranker, Prior], shots: Shots, scale: float | None = None) -> Adapter | None:
        ranker, prior = base
        return adapt_segment(prior, ranker, self.segment, shots, self.config,
                             np.random.default_rng([self.config.shots.seed, 3]), scale=scale)

    def _newest_shots(self) -> Shots:
        """Shots for what ships: everybody's, from a stretch as long as the support, ending with the report."""
        length = self.window.gate_start - self.window.support_start
        return draw_shots(self.study.events, self.window.report_end - length, self.window.report_end, self.member,
                          self.config.shots, np.random.default_rng([self.config.shots.seed, 2]))


def draw_placebo(study: Study, window: Window, member: np.ndarray, config: AdaptationConfig, k: int) -> Shots:
    """As many shots of the same window from outside the segment.

    A scene that takes in everything leaves nothing outside in its own days: then of as many days before it.
    """
    rng, limits = np.random.default_rng([config.shots.seed, 1]), config.shots.model_copy(update={"k": max(k, 1)})
    length = window.gate_start - window.support_start
    for start in (window.support_start, window.support_start - length):
        shots = draw_shots(study.events, start, start + length, ~member, limits, rng, study.support_users)
        if len(shots) >= config.shots.min_shots:
            break
    return shots


def load_adapter(folder: Path, name: str, lock: dict[str, str]) -> Adapter | None:
    """One of the segment's adapters, or None where it has none."""
    place = folder / name
    return Adapter.load(place, lock) if place.is_dir() else None


def adapt_segments(folders: dict[str, Path], study: Study, config: AdaptationConfig) -> dict[str, dict]:
    """Adapt many segments in one step, sharing the base.

    Args:
        folders: segment → staged folder to write its artefact into.

    Returns:
        segment → what its segment.json holds, and its `folder`.
    """
    plan, made = study.base.plan, {}
    # Segments of one cut-off follow each other, so that each twin is loaded once.
    order = sorted(folders, key=lambda name: (plan[name].support_start if name in plan else 0, name))
    for done, name in enumerate(order, start=1):
        about = make_segment_adapter(folders[name], study, name, plan.get(name), config)
        made[name] = {**about, "folder": folders[name]}
        log.info("adapted %d of %d: %s", done, len(order), name)
    return made
