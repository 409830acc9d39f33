"""Adapt one segment: draw its shots, fit every method, keep the one its own shots vote for.

`auto` selection is leave-users-out cross-validation of the full-catalogue log-likelihood of the
shots, over methods and over how far to trust each (a scale of 0 is the base itself). Nothing
outside the support window is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field
from scipy.special import softmax

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import (
    STAGES,
    ClosedFormConfig,
    Prior,
    Support,
    adapt_closed_form,
    first_stages,
)
from recsys_core.adaptation.lora import LoraConfig, Prefix, adapt_lora
from recsys_core.adaptation.shots import ShotConfig, Shots
from recsys_core.base_model.ranker import Ranker

log = logging.getLogger(__name__)

LORA = "lora"
CHUNK = 64  # shots whose catalogue scores are held twice at a time

Methods = Callable[[np.ndarray], dict[str, Adapter]]  # positions of the shots to learn from → adapters by name


class AdaptationConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments are adapted."""

    shots: ShotConfig = ShotConfig()
    closed_form: ClosedFormConfig = ClosedFormConfig()
    lora: LoraConfig = LoraConfig()
    lora_segments: int = Field(1, ge=0, description="segments per step that may also try LoRA: those with "
                                                    "the most events; it costs minutes, the closed form moments")
    folds: int = Field(4, ge=2, description="user folds of the method's cross-validation")
    scales: tuple[float, ...] = Field((0.5, 1.0), description="how far to trust a method's offsets")
    min_gain: float = Field(0.005, ge=0, description="nats per shot a method must add to be preferred to the base")


@dataclass(frozen=True)
class BaseView:
    """The base's distribution over the catalogue at K shots: float32 [K, N], rows sum to 1."""

    probabilities: np.ndarray

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The mean distribution at some shots, float64 [N], all > 0."""
        mean = self.probabilities[rows].mean(axis=0, dtype=np.float64) + 1e-12
        return mean / mean.sum()

    def gains(self, rows: np.ndarray, items: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What offsets [N] add to the log-likelihood of the shots at `rows`: float64 [len(rows)].

        log p'(i) − log p(i) = o_i − log Σ_j p(j) exp(o_j): a matrix–vector product, no new softmax.
        """
        top = offsets.max()
        return offsets[items] - top - np.log(self.probabilities[rows] @ np.exp(offsets - top))


def view_base(ranker: Ranker, shots: Shots) -> BaseView:
    """Score the whole catalogue at every shot."""
    view = np.empty((len(shots), len(ranker.catalogue)), np.float32)
    for low in range(0, len(shots), CHUNK):
        rows = slice(low, min(low + CHUNK, len(shots)))
        view[rows] = softmax(ranker.score(shots.queries.histories[rows]), axis=1)
    return BaseView(view)


def choose_method(methods: Methods, prior: Prior, shots: Shots, view: BaseView, config: AdaptationConfig,
                  rng: np.random.Generator) -> tuple[str, float, dict[str, float]]:
    """Cross-validate the methods on the support set.

    Returns:
        the winning method's name ("base" where none adds `min_gain`), its scale, and the mean
        held-out gain over the base in nats per shot of every method and scale.
    """
    users = np.unique(shots.users)
    fold_of_user = rng.permutation(len(users)) % config.folds
    fold = fold_of_user[np.searchsorted(users, shots.users)]
    rows = np.arange(len(shots))
    gains: dict[str, float] = {}
    for held in range(config.folds):
        test, train = rows[fold == held], rows[fold != held]
        if not len(test) or not len(train):
            continue
        for name, adapter in methods(train).items():
            offsets = adapter.offsets(prior.catalogue).astype(np.float64)
            for scale in config.scales:
                gain = view.gains(test, shots.items[test], scale * offsets).sum() / len(shots)
                gains[f"{name}@{scale}"] = gains.get(f"{name}@{scale}", 0.0) + float(gain)
    best = max(gains, key=gains.get, default="")
    if not best or gains[best] <= config.min_gain:
        return "base", 0.0, gains
    name, scale = best.rsplit("@", 1)
    return name, float(scale), gains


def closed_form_methods(prior: Prior, segment: str, shots: Shots, view: BaseView,
                        config: AdaptationConfig) -> Methods:
    """The closed form with one, two or all three of its stages: one solution, cut short."""
    def fit(positions: np.ndarray) -> dict[str, Adapter]:
        support = Support(shots.items[positions], shots.users[positions], view.share(positions))
        whole = adapt_closed_form(prior, segment, support, config.closed_form)
        return {"+".join(STAGES[:n]): first_stages(whole, STAGES[:n]) for n in range(1, len(STAGES) + 1)}

    return fit


def lora_methods(prefix: Prefix, peft_folder: Path | None) -> Callable[..., Methods]:
    """The closed form and, moving on from its groups and text, PEFT LoRA on the encoder's top layer."""
    def methods(prior: Prior, segment: str, shots: Shots, view: BaseView, config: AdaptationConfig) -> Methods:
        closed_form = closed_form_methods(prior, segment, shots, view, config)

        def fit(positions: np.ndarray) -> dict[str, Adapter]:
            found = closed_form(positions)
            lora = adapt_lora(prefix, prior, found["groups+text"], shots.items[positions],
                              view.probabilities[positions], config.lora, peft_folder)
            return {**found, LORA: lora}

        return fit

    return methods


def scaled(adapter: Adapter, scale: float, settings: dict) -> Adapter:
    """The adapter with its offsets multiplied by `scale`, and what was learned about it noted."""
    return replace(adapter, theta=(scale * adapter.theta).astype(np.float32),
                   groups={key: scale * value for key, value in adapter.groups.items()},
                   text_values=(scale * adapter.text_values).astype(np.float32),
                   item_values=(scale * adapter.item_values).astype(np.float32),
                   settings={**adapter.settings, **settings, "scale": scale})


def adapt_segment(prior: Prior, ranker: Ranker, segment: str, shots: Shots, config: AdaptationConfig,
                  rng: np.random.Generator, *, methods: Callable[..., Methods] = closed_form_methods,
                  only: tuple[str, float] | None = None) -> Adapter | None:
    """Fit a segment's adapter from its shots.

    Args:
        prior: the base, prepared; ranker: the base's session model for the window (its twin).
        only: (method, scale) chosen before; then nothing is cross-validated (the placebo, and the
            refit that ships).

    Returns:
        the adapter, or None: too few shots, or no method beats the base on left-out users.
    """
    if len(shots) < config.shots.min_shots:
        log.info("%s: %d shots, fewer than %d: no adapter", segment, len(shots), config.shots.min_shots)
        return None
    view = view_base(ranker, shots)
    available = methods(prior, segment, shots, view, config)
    if only is None:
        name, scale, gains = choose_method(available, prior, shots, view, config, rng)
    else:
        (name, scale), gains = only, {}
    log.info("%s: %d shots → %s at scale %.2g", segment, len(shots), name, scale)
    if name == "base":
        return None
    if name != LORA:  # nothing is trained that is not shipped
        available = closed_form_methods(prior, segment, shots, view, config)
    adapter = available(np.arange(len(shots)))[name]
    return scaled(adapter, scale, {"method": name, "cv_gain_nats": {k: round(v, 4) for k, v in gains.items()}})
