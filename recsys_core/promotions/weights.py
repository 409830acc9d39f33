"""How much promotions count: their weights, learned on top of a base that is fixed.

They depend on how much is known of a shopper, and come from a conditional logit (`trust.fit_trust`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation import Choice, fit_trust
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.base_model import Ranker, sample_candidates
from recsys_core.errors import DataError, ModelError
from recsys_core.interactions import KNOTS, Catalogue, Queries, cut_histories, knot_shares, known_steps, take_queries
from recsys_core.promotions.table import FORMAT, Promotions, epoch_day

SCORED = 16  # histories scored at once


class PromotionConfig(BaseModel, frozen=True, extra="forbid"):
    """How the weights of promotions are learned."""

    ridge: float = Field(5.0, gt=0, description="pull of the weights towards 0, in choices")
    smooth: float = Field(30.0, ge=0, description="pull between neighbouring knots, in choices")
    known: tuple[int, ...] = Field((0, 1, 4), description="histories are also cut to so many steps")
    head: int = Field(30, ge=2, description="items at the top of each choice that the head is fitted on")
    head_share: float = Field(0.5, ge=0, le=1, description="how far the weights move from the whole to the head")
    sure_candidates: int = Field(1500, ge=1, description="items best by the base in each choice")
    tail_candidates: int = Field(500, ge=1, description="sampled other items in each choice")
    seed: int = 0


@dataclass(frozen=True)
class PromotionWeights:
    """Promotions and what they count; see `fit_promotions`.

    Args:
        promotions: what is promoted where and when.
        weights: float32 [knots, 2·placements], a row per `KNOTS`, a column per `Promotions.names`.
        settings: how they were learned; JSON.
    """

    promotions: Promotions
    weights: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)

    def offsets(self, context: Mapping[str, str], day: date, steps: int) -> dict[str, np.ndarray]:
        """What promotions add to the base's logit of every item, by name: float32 [N] each.

        Args:
            context: as in `Promotions.features`.
            day: as in `Promotions.features`.
            steps: how many steps of the shopper are known.
        """
        values = self.promotions.features(context, day)
        return {name: np.float32(weight) * values[name] for name, weight in self.weighing(steps).items()}

    def weighing(self, steps: int) -> dict[str, float]:
        """What each of the promotions' named values weighs where so many steps of the shopper are known."""
        return dict(zip(self.promotions.names, (knot_shares(np.array([steps]))[0] @ self.weights).tolist(), strict=True))

    def masked(self, knots: np.ndarray) -> PromotionWeights:
        """The same, 0 at all other knots than these: bool [knots]."""
        return replace(self, weights=np.where(knots[:, None], self.weights, 0).astype(np.float32))

    def on(self, promotions: Promotions) -> PromotionWeights:
        """The same weights for another table; a placement they were not learned for counts nothing."""
        known = {name: column for name, column in zip(self.promotions.names, self.weights.T, strict=True)}
        columns = [known.get(name, np.zeros(len(KNOTS), np.float32)) for name in promotions.names]
        return replace(self, promotions=promotions, weights=np.array(columns, np.float32).reshape(-1, len(KNOTS)).T)

    def save(self, folder: Path) -> None:
        """Write the promotions and weights.json, atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        self.promotions.write(folder)
        write_json(Path(folder) / "weights.json", {
            "format": FORMAT, "knots": list(KNOTS), "settings": self.settings,
            "weights": {name: column.tolist() for name, column in
                        zip(self.promotions.names, self.weights.T, strict=True)}})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, first_day: date | None = None) -> PromotionWeights:
        """Read what `save` wrote; see `Promotions.load`."""
        promotions, about = Promotions.load(folder, catalogue, first_day), read_json(Path(folder) / "weights.json")
        problem = None
        try:
            columns = [about["weights"][name] for name in promotions.names]
            weights = np.array(columns, np.float32).reshape(-1, len(KNOTS)).T
            if about["knots"] != list(KNOTS) or not np.isfinite(weights).all():
                problem = "other knots than this version's, or weights that are not finite"
        except (KeyError, TypeError, ValueError) as error:
            problem = f"cannot be read ({type(error).__name__}: {error})"
        if problem:
            raise ModelError(f"{folder}/weights.json", problem, "learn the promotions' weights again")
        return cls(promotions, weights, about["settings"])


def fit_promotions(promotions: Promotions, ranker: Ranker, queries: Queries, contexts: Sequence[Mapping[str, str]],
                   days: Sequence[date], config: PromotionConfig) -> PromotionWeights:
    """Learn what promotions count on top of a base that is fixed.

    Args:
        promotions: what is promoted where and when.
        ranker: fitted on events before the questions.
        queries: n questions with targets.
        contexts: what each question's request says.
        days: each question's local day.
        config: how the weights are learned.

    Raises:
        DataError: not one context and one day per question.
    """
    if not len(queries) == len(contexts) == len(days):
        raise DataError("promotions", f"{len(contexts)} contexts and {len(days)} days for {len(queries)} questions",
                        "pass one of each per question")
    choices = list(_choices(promotions, ranker, queries, contexts, days, config))
    weights = np.zeros((len(KNOTS), len(promotions.names)))
    if choices and promotions.names:
        weights = fit_trust(choices, ridge=config.ridge, smooth=config.smooth)
        # The likelihood spends its freedom on the long tail; see `blend.fit_head`.
        if heads := _heads(choices, config.head):
            weights += config.head_share * (fit_trust(heads, ridge=config.ridge, smooth=config.smooth) - weights)
    settings = {"questions": len(queries), "choices": len(choices), **config.model_dump(mode="json")}
    return PromotionWeights(promotions, weights.astype(np.float32), settings)


def _heads(choices: Sequence[Choice], top: int) -> list[Choice]:
    """The base's best items of each choice, where they hold a target."""
    found = []
    for choice in choices:
        keep = min(top, len(choice.base))
        best = np.argpartition(-choice.base, keep - 1)[:keep]
        if mass := float(choice.chosen[best].sum()):
            found.append(Choice(choice.base[best], choice.features[:, best], np.zeros(keep, np.float32),
                                choice.chosen[best] / np.float32(mass), choice.steps))
    return found


def _choices(promotions: Promotions, ranker: Ranker, queries: Queries, contexts: Sequence[Mapping[str, str]],
             days: Sequence[date], config: PromotionConfig) -> Iterator[Choice]:
    """Every question with its whole history, and with fewer steps known where it has more."""
    rng, full = np.random.default_rng(config.seed), known_steps(queries.histories)
    for limit in (*config.known, None):
        asked = queries if limit is None else cut_histories(queries, limit)
        rows = np.arange(len(queries)) if limit is None else np.flatnonzero(full > limit)
        for row, score in score_by_day(ranker, asked, rows, days):
            targets = queries.targets[queries.target_indptr[row]:queries.target_indptr[row + 1]]
            past = asked.histories[row:row + 1].items
            items, log_weight = sample_candidates(score, np.concatenate([targets, past]), config.sure_candidates,
                                                  config.tail_candidates, rng)
            values = promotions.features(contexts[row], days[row])
            chosen = np.isin(items, targets).astype(np.float32) / np.float32(max(len(targets), 1))
            yield Choice(score[items], np.stack([values[name][items] for name in promotions.names]), log_weight,
                         chosen, int(full[row] if limit is None else limit))


def score_by_day(ranker: Ranker, queries: Queries, rows: np.ndarray, days: Sequence[date]) -> Iterator[tuple[int, np.ndarray]]:
    """(row, the base's logits float32 [N]) of the chosen questions, day by day; a day's questions share their `now`."""
    day = np.array([epoch_day(one) for one in days], np.int64)[rows]
    for at in np.unique(day):
        todays = rows[day == at]
        now = int(np.median(queries.timestamp[todays]))
        for low in range(0, len(todays), SCORED):
            part = todays[low:low + SCORED]
            yield from zip(part.tolist(), ranker.score(take_queries(queries, part).histories, now), strict=True)
