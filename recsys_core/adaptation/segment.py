"""One segment's artefact: the adapter that is judged, its placebo, the adapter that ships, and their shots.

Folder: segment.json, shots.parquet, and as far as they exist judged/, placebo/, serving/ (adapters).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.adaptation.adapt import AdaptationConfig, adapt_segment, closed_form_methods, lora_methods
from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.lora import Prefix
from recsys_core.adaptation.shots import Shots, draw_shots
from recsys_core.adaptation.stale import segment_fingerprints
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import write_json
from recsys_core.base_model.tune import TextEncoderArtefact
from recsys_core.evaluation.windows import Window

log = logging.getLogger(__name__)

JUDGED, PLACEBO, SERVING = "judged", "placebo", "serving"
SCRATCH = ".peft"  # where PEFT writes before the adapter it belongs to is saved


def make_segment_adapter(folder: Path, study: Study, segment: str, window: Window | None,
                         config: AdaptationConfig, prefix: Prefix | None = None) -> dict:
    """Adapt a segment and write its artefact into `folder` (staged by the caller).

    Args:
        window: its windows; None where the segment cannot be judged (then nothing is adapted).
        prefix: the encoder's cached activations, where LoRA may be tried.

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
        about |= _adapt(folder, study, segment, window, member, config, prefix)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    write_json(folder / "segment.json", about)
    return about


def _adapt(folder: Path, study: Study, segment: str, window: Window, member: np.ndarray,
           config: AdaptationConfig, prefix: Prefix | None) -> dict:
    """Fit the judged adapter, then with the method and scale it chose the placebo and what ships."""
    rng, (twin, prior) = np.random.default_rng([config.shots.seed, 0]), study.twin(window)
    shots = draw_shots(study.events, window.support_start, window.gate_start, member, config.shots, rng,
                       study.support_users)
    methods = lora_methods(prefix, folder / SCRATCH) if prefix else closed_form_methods
    judged = adapt_segment(prior, twin, segment, shots, config, rng, methods=methods)
    drawn = {JUDGED: shots}
    if judged is not None:
        judged.save(folder / JUDGED)
        only = (judged.settings["method"], judged.settings["scale"])
        drawn[PLACEBO] = _placebo_shots(study, window, member, config, len(shots))
        drawn[SERVING] = _newest_shots(study, window, member, config)
        for name, (ranker, base) in ((PLACEBO, (twin, prior)), (SERVING, study.serving)):
            adapter = adapt_segment(base, ranker, segment, drawn[name], config, rng, methods=methods, only=only)
            if adapter is not None:
                adapter.save(folder / name)
    pl.concat(study.describe(used.rows, name) for name, used in drawn.items()).write_parquet(folder / "shots.parquet")
    if judged is not None:
        return {"shots": len(shots), "method": judged.settings["method"], "reason": "", "settings": judged.settings}
    enough = len(shots) >= config.shots.min_shots
    return {"shots": len(shots), "reason": "no adapter: no method predicts left-out shoppers better than the base"
            if enough else f"no adapter: {len(shots)} shots, needs {config.shots.min_shots}"}


def _placebo_shots(study: Study, window: Window, member: np.ndarray, config: AdaptationConfig, k: int) -> Shots:
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


def _newest_shots(study: Study, window: Window, member: np.ndarray, config: AdaptationConfig) -> Shots:
    """Shots for what ships: everybody's, from a stretch as long as the support, ending with the report."""
    length = window.gate_start - window.support_start
    return draw_shots(study.events, window.report_end - length, window.report_end, member, config.shots,
                      np.random.default_rng([config.shots.seed, 2]))


def load_adapter(folder: Path, name: str, lock: dict[str, str]) -> Adapter | None:
    """One of the segment's adapters, or None where it has none."""
    place = folder / name
    return Adapter.load(place, lock) if place.is_dir() else None


def adapt_segments(folders: dict[str, Path], study: Study, encoder: TextEncoderArtefact,
                   config: AdaptationConfig) -> dict[str, dict]:
    """Adapt many segments in one step, sharing the base; LoRA is tried where there are most events.

    Args:
        folders: segment → staged folder to write its artefact into.

    Returns:
        segment → what its segment.json holds, and its `folder`.
    """
    plan = study.base.plan
    events = {name: int(study.member(name).sum()) for name in folders if name in plan}
    richest = sorted(events, key=lambda name: (-events[name], name))[:config.lora_segments]
    prefix = Prefix(encoder.load(), study.base.catalogue.texts) if richest else None
    made = {}
    # Segments of one cut-off follow each other, so that each twin is loaded once.
    order = sorted(folders, key=lambda name: (plan[name].support_start if name in plan else 0, name))
    for done, name in enumerate(order, start=1):
        about = make_segment_adapter(folders[name], study, name, plan.get(name), config,
                                     prefix if name in richest else None)
        made[name] = {**about, "folder": folders[name]}
        log.info("adapted %d of %d: %s", done, len(order), name)
    return made
