"""Adapt one segment: fit every method on its shots, keep the one that its own shots vote for.

`auto` selection is leave-users-out cross-validation of the full-catalogue log-likelihood of the
shots, over methods and over how far to trust each (a scale of 0 is the base itself). Likelihood is
mostly made far below the top ten, so what wins there and moves the lists must also move them for the
better. Nothing outside the support window is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import ClosedFormConfig, Prior
from recsys_core.adaptation.lora import LoraConfig
from recsys_core.adaptation.methods import AND_SHOTS, FROM, LAST, BaseView, Methods, Task, closed_form_methods
from recsys_core.adaptation.shots import ShotConfig, Shots
from recsys_core.base_model.ranker import Ranker

log = logging.getLogger(__name__)

CHUNK = 64  # shots whose catalogue scores are held twice at a time


class ContinualConfig(BaseModel, frozen=True, extra="forbid"):
    """How an adapter is carried on."""

    replay: float = Field(0.25, ge=0, le=1, description="share of the shots kept from the last support set, if in the window")
    max_forgetting: float = Field(0.1, ge=0, description="nats per shot of the last support set that the next adapter "
                                                         "may lose against the last one")


class AdaptationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments are adapted."""

    shots: ShotConfig = ShotConfig()
    closed_form: ClosedFormConfig = ClosedFormConfig()
    lora: LoraConfig = LoraConfig()
    continual: ContinualConfig = ContinualConfig()
    lora_segments: int = Field(1, ge=0, description="segments per step that may also try LoRA: those with "
                                                    "the most events; it costs minutes, the closed form moments")
    folds: int = Field(4, ge=2, description="user folds of the method's cross-validation")
    scales: tuple[float, ...] = Field((0.5, 1.0), description="how far to trust a method's offsets")
    evidence: float = Field(2.0, ge=0, description="nats over all left-out shots that a method must gain to be "
                                                   "preferred to the base")
    list_evidence: float = Field(0.5, ge=0, description="standard errors by which the left-out shots' NDCG@10 must rise, "
                                                  "where the method moves their lists at all")


def view_base(ranker: Ranker, shots: Shots) -> BaseView:
    """Score the whole catalogue at every shot."""
    view = np.empty((len(shots), len(ranker.catalogue)), np.float32)
    for low in range(0, len(shots), CHUNK):
        block = view[low:low + CHUNK]
        block[:] = ranker.score(shots.queries.histories[low:low + CHUNK])
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
    return BaseView(view, shots.chance)


def split_users(users: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """int [K]: each shot's fold; a user's shots stay together."""
    _, user = np.unique(users, return_inverse=True)
    return (rng.permutation(user.max(initial=-1) + 1) % folds)[user]


def choose_method(methods: Methods, task: Task, config: AdaptationConfig, rng: np.random.Generator
                  ) -> tuple[str, float, dict[str, float]]:
    """Cross-validate the methods on the support set.

    Returns:
        the winning method's name ("base" where none gains `evidence` and passes `helps_lists`), its scale, and
        the mean held-out gain over the base in nats per shot of every method and scale.
    """
    fold, rows, items = split_users(task.shots.users, config.folds, rng), np.arange(len(task.shots)), task.shots.items
    judges = np.ones(len(rows), bool) if task.fresh is None else task.fresh
    splits = [(rows[(fold == held) & judges], rows[fold != held]) for held in range(config.folds)]
    splits = [(test, train) for test, train in splits if len(test) and len(train)]
    tests, asked = [test for test, _ in splits], sum(len(test) for test, _ in splits)
    fitted: dict[str, list[np.ndarray]] = {}
    for adapters in methods(task, [train for _, train in splits]):
        for name, adapter in adapters.items():
            fitted.setdefault(name, []).append(adapter.offsets(task.prior.catalogue).astype(np.float64))
    gains = {(name, scale): float(sum(task.view.gains(test, items[test], scale * own).sum()
                                      for test, own in zip(tests, offsets, strict=True))) / asked
             for name, offsets in fitted.items() for scale in config.scales}
    told = {f"{name}@{scale}": gain for (name, scale), gain in gains.items()}
    for name, scale in sorted(gains, key=gains.get, reverse=True):
        if gains[name, scale] * asked <= config.evidence:
            break
        if helps_lists(task.view, task.shots, tests, [scale * own for own in fitted[name]], config):
            return name, scale, told
    return "base", 0.0, told


def helps_lists(view: BaseView, shots: Shots, tests: Sequence[np.ndarray], offsets: Sequence[np.ndarray],
                config: AdaptationConfig) -> bool:
    """Whether the left-out shots' NDCG@10 stays as it is, or rises by more than `list_evidence` standard errors over users.

    Args:
        tests: positions of each split's left-out shots. offsets: [N], each split's.
    """
    gains = np.concatenate([view.list_gains(test, shots.items[test], own) for test, own in zip(tests, offsets, strict=True)])
    if not gains.any():
        return True
    _, user = np.unique(shots.users[np.concatenate(tests)], return_inverse=True)
    of_user = np.bincount(user, gains)
    return len(of_user) > 1 and of_user.sum() > config.list_evidence * of_user.std(ddof=1) * np.sqrt(len(of_user))


def nearest_starts(task: Task, only: tuple[str, float] | None) -> Task:
    """The task with the start that explains its shots best as it is, and the segment's own last adapter; or with the
    one that `only` names."""
    if only is not None:
        wanted = {name for name in task.starts if only[0] in (FROM + name, FROM + name + AND_SHOTS)}
    else:
        rows = np.arange(len(task.shots)) if task.fresh is None else np.flatnonzero(task.fresh)
        gains = {name: task.view.gains(rows, task.shots.items[rows], start.offsets(task.prior.catalogue).astype(np.float64)
                                       ).mean() for name, start in task.starts.items() if name != LAST}
        wanted = {LAST, max(gains, key=gains.get, default=LAST)}
    return replace(task, starts={name: start for name, start in task.starts.items() if name in wanted})


def scaled(adapter: Adapter, scale: float, settings: dict) -> Adapter:
    """The adapter with its offsets multiplied by `scale`, and what was learned about it noted."""
    return replace(adapter, theta=(scale * adapter.theta).astype(np.float32),
                   groups={key: scale * value for key, value in adapter.groups.items()},
                   text_values=(scale * adapter.text_values).astype(np.float32),
                   item_values=(scale * adapter.item_values).astype(np.float32),
                   settings={**adapter.settings, **settings, "scale": scale})


def adapt_segment(prior: Prior, ranker: Ranker, segment: str, shots: Shots, config: AdaptationConfig,
                  rng: np.random.Generator, *, methods: Methods = closed_form_methods,
                  starts: Mapping[str, Adapter] | None = None, fresh: np.ndarray | None = None,
                  only: tuple[str, float] | None = None) -> Adapter | None:
    """Fit a segment's adapter from its shots.

    Args:
        prior: the base, prepared; ranker: the base's session model for the window (its twin).
        starts: name → adapter it may move on from. fresh: bool [K], shots no start has learned from.
        only: (method, scale) chosen before; then nothing is cross-validated (the placebo, and the
            refit that ships).

    Returns:
        the adapter, or None: too few shots, or no method that beats the base on left-out users and helps their lists.
    """
    if len(shots) < config.shots.min_shots:
        log.info("%s: %d shots, fewer than %d: no adapter", segment, len(shots), config.shots.min_shots)
        return None
    task = nearest_starts(Task(prior, segment, shots, view_base(ranker, shots), config.closed_form, starts or {}, fresh),
                          only)
    if only is None:
        name, scale, gains = choose_method(methods, task, config, rng)
    else:
        (name, scale), gains = only, {}
    log.info("%s: %d shots → %s at scale %.2g", segment, len(shots), name, scale)
    if name == "base":
        return None
    everything = [np.arange(len(shots))]
    quick = closed_form_methods(task, everything)[0]
    adapter = quick[name] if name in quick else methods(task, everything)[0][name]  # train nothing that is not shipped
    return scaled(adapter, scale, {"method": name, "cv_gain_nats": {k: round(v, 4) for k, v in gains.items()}})
