"""The session model: named parts of behaviour and text, blended by one conditional logit.

score(history, i) = Σ_p weight_p(n) · part_p(history, i), a logit: its softmax over the catalogue is the
probability that i is the next item. The weights depend on how many steps n of the shopper are known (`knots`): they are
learned from histories as they are and from the same ones cut short. An item never sold is ranked by its text; a history
that is empty by popularity; whether repeats count for or against an item is a weight like any other.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.artefacts import map_arrays, read_json, staged_folder, write_json
from recsys_core.base_model.attribution import Attribution, attribute
from recsys_core.base_model.blend import (
    Situation,
    sample_candidates,
)
from recsys_core.base_model.parts import PART_NAMES, Counts, Evidence
from recsys_core.base_model.pieces import Kinds, Piece, add_weighted, static_score
from recsys_core.base_model.sparse import Sparse
from recsys_core.errors import ModelError
from recsys_core.interactions import (
    KNOTS,
    Catalogue,
    Histories,
    Queries,
    knot_shares,
    known_steps,
    take_queries,
)

log = logging.getLogger(__name__)
FORMAT = 3
BLOCK = 32  # histories whose parts are held at once while choices are collected
STATIC_KEPT = 1_000_000  # floats of `static_score` that stay in memory: eleven numbers of known steps at 92,331 items
MATRICES = ("transitions", "text_transitions", "companions")  # of Counts, as they are saved


class RankerConfig(BaseModel, frozen=True, extra="forbid"):
    """How the parts are counted and blended; one set of defaults serves every shop."""

    window: int = Field(4, ge=1, description="steps ahead and back that count as following each other")
    window_decay: float = Field(0.5, gt=0, le=1, description="weight per further step inside the window")
    backward: float = Field(0.5, ge=0, description="weight of the reverse direction of a transition")
    shrink: float = Field(1.0, gt=0, description="pseudo-steps that damp rarely seen items' transitions")
    top_k: int = Field(100, ge=1, description="transitions kept per item and per text")
    neighbours: int = Field(10, ge=1, description="nearest texts that share transitions")
    neighbour_power: float = Field(4.0, gt=0, description="sharpness of the text similarity when sharing")
    follow_decay: float = Field(0.5, gt=0, le=1, description="weight per step of age of a history's items")
    follow_epsilon: float = Field(0.01, gt=0, description="transitions below this add almost nothing")
    text_follow_epsilon: float = Field(0.01, gt=0, description="the same for transitions between texts")
    profile_decay: float = Field(0.6, gt=0, le=1, description="weight per step of age in the text profile")
    repeat_decay: float = Field(0.8, gt=0, le=1, description="weight per step of age of a repeat")
    repeat_half_life_days: float = Field(30.0, gt=0, description="half-life of a repeat, days")
    trend_half_life_days: float = Field(14.0, gt=0, description="half-life of recent popularity, days")
    trend_pseudo_events: float = Field(10.0, gt=0, description="events that hold the trend at zero")
    companion_events: int = Field(300, ge=2, description="newest events of a user that make items companions")
    companion_shrink: float = Field(10.0, ge=0, description="pseudo-users that damp rarely shared companions")
    companion_top_k: int = Field(100, ge=1, description="companions kept per item")
    companion_epsilon: float = Field(0.05, gt=0, description="companions below this add almost nothing")
    preference_decay: float = Field(0.9, gt=0, le=1, description="weight per step in brand and category")
    preference_pseudo_events: float = Field(5.0, gt=0, description="events that hold a preference at zero")
    ridge: float = Field(1.0, gt=0, description="pull of the blend towards its prior weights, in choices")
    smooth: float = Field(30.0, gt=0, description="pull between the weights for little and for more history, in choices")
    head: int = Field(30, ge=2, description="items at the top of each choice that the head is fitted on")
    head_ridge: float = Field(5.0, gt=0, description="pull of the head towards the whole, in choices")
    head_smooth: float = Field(30.0, gt=0, description="the same pull between neighbours in the head")
    head_share: float = Field(0.5, ge=0, le=1, description="how far the blend moves from the whole to the head")
    trend_share: float = Field(2 / 3, ge=0, le=1, description="of the trend's weight: the fortnight that chooses the blend says "
                                                              "more of its own trends than of the next one's")
    max_queries: int = Field(5000, ge=1, description="choices the blend is fitted on at most")
    cut_queries: int = Field(200, ge=0, description="of those, so many again with only 0, 1, 2, 4, 8 or 16 steps known each")
    sure_candidates: int = Field(1536, ge=1, description="likely items in each choice")
    tail_candidates: int = Field(512, ge=1, description="sampled other items in each choice")
    seed: int = Field(0, description="seed of the two samples above")


@dataclass(frozen=True)
class Weighed:
    """The P parts of n histories beside their weights; see `Ranker.weigh`.

    Args:
        pieces: one per part.
        weights: float32 [n, P].
        static: float32 [n] [N], what the parts that no history changes add up to.
        kinds: of the catalogue's items.
    """

    pieces: Sequence[Piece]
    weights: np.ndarray
    static: Sequence[np.ndarray]
    kinds: Kinds

    def score(self) -> np.ndarray:
        """Logits of every item: float32 [n, N]."""
        total = np.array(self.static)
        add_weighted(self.pieces, self.weights, self.kinds, total)
        return total

    def explain(self, rows: np.ndarray) -> np.ndarray:
        """What each part adds to the score of chosen items: float32 [n, k, P], summing to the score.

        Args:
            rows: int [n, k], catalogue rows to explain for each history.
        """
        out = np.empty((len(self.pieces), *np.shape(rows)), np.float32)
        for line, columns in enumerate(rows):
            places: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # several parts lie at the same items
            for at, piece in enumerate(self.pieces):
                if isinstance(piece, Sparse):
                    found = places.get(id(piece.indices)) or places.setdefault(id(piece.indices), piece.find(line, columns))
                    out[at, line] = piece.read(*found)
                else:
                    out[at, line] = piece.at(line, columns)
        return np.moveaxis(out, 0, -1) * self.weights[:, None]


class Ranker:
    """A fitted session model; see `fit_ranker`.

    Args:
        config: what it was fitted with.
        catalogue: the N items it ranks.
        counts: what it counted in its training events.
        weights: float32 [knots, P].
        settings: everything chosen on validation, for the record: the number of choices and their mean log-likelihood.
    """

    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, config: RankerConfig, catalogue: Catalogue, counts: Counts, weights: np.ndarray,
                 settings: dict[str, Any]) -> None:
        self.config, self.catalogue, self.counts, self.settings = config, catalogue, counts, settings
        self.weights = np.asarray(weights, np.float32)
        self._evidence = Evidence(counts, catalogue, config)
        self._kept: tuple[int | None, dict[int, np.ndarray]] = None, {}

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray:
        """Logits of every item: float32 [n, N].

        Args:
            histories: n of them.
            now: seconds since the epoch; popularity trends fade with their age. None: the trends as they were at the
                newest training event.
        """
        return self.weigh(histories, now).score()

    def weigh(self, histories: Histories, now: int | None = None) -> Weighed:
        """The parts of n histories and what they weigh, worked out once for both scores and reasons; `now` as in `score`."""
        pieces = [piece for _, piece in self._evidence.pieces(histories, now)]
        steps = np.minimum(known_steps(histories), KNOTS[-1])
        weights = self.weights_for(steps)
        static = [self._static(now, known, pieces, row) for known, row in zip(steps.tolist(), weights, strict=True)]
        return Weighed(pieces, weights, static, self._evidence.kinds)

    def _static(self, now: int | None, steps: int, pieces: Sequence[Piece], weights: np.ndarray) -> np.ndarray:
        """`static_score`, those asked for last kept; nobody writes to it."""
        last, kept = self._kept
        if last != now:  # one assignment: threads see an old pair or a new one
            self._kept = last, kept = now, {}
        found = kept.get(steps)
        if found is None:
            found = static_score(pieces, weights, len(self.catalogue))
            if len(kept) * len(self.catalogue) < STATIC_KEPT:
                kept[steps] = found
        return found

    def attribute(self, history: Histories, rows: np.ndarray, weighed: Weighed) -> Attribution:
        """Which past items bring what of the scores of some items.

        Args:
            history: a single one.
            rows: int [k], catalogue rows of these items.
            weighed: what `weigh` returned for the history.
        """
        parts = np.stack([piece.at(0, rows) for piece in weighed.pieces], axis=1)
        return attribute(self._evidence, history, rows, parts, weighed.weights[0], self.weights_for(np.zeros(1, np.int64))[0])

    def weights_for(self, steps: np.ndarray) -> np.ndarray:
        """The weight of every part at so many known steps: float32 [n, P]."""
        return knot_shares(steps) @ self.weights

    def situations(self, queries: Queries, rng: np.random.Generator) -> list[Situation]:
        """The questions as choices between their likely items and a sample of the others, for `blend`."""
        found: list[Situation] = []
        order = np.argsort(queries.timestamp, kind="stable")  # trends fade: a block asks at about one time
        for low in range(0, len(order), BLOCK):
            block = take_queries(queries, order[low:low + BLOCK])
            steps, now = known_steps(block.histories), int(np.median(block.timestamp))
            pieces, weights = [p for _, p in self._evidence.pieces(block.histories, now)], self.weights_for(steps)
            pilots = np.array([static_score(pieces, row, len(self.catalogue)) for row in weights])
            add_weighted(pieces, weights, self._evidence.kinds, pilots)
            for row, known in enumerate(steps.tolist()):
                targets = block.targets[block.target_indptr[row]:block.target_indptr[row + 1]]
                items, log_weight = sample_candidates(
                    pilots[row], np.concatenate([targets, block.histories[row:row + 1].items]), self.config.sure_candidates,
                    self.config.tail_candidates, rng)
                chosen = np.isin(items, targets).astype(np.float32) / np.float32(len(targets))
                found.append((np.array([piece.at(row, items) for piece in pieces]), log_weight, chosen, known))
        return found

    def grown(self, catalogue: Catalogue) -> Ranker:
        """The same on a catalogue with more items or texts at its end, or with other texts: what is new was never taken."""
        counts = self.counts.grown(len(catalogue), len(catalogue.vectors))
        return Ranker(self.config, catalogue, counts, self.weights, self.settings)

    def save(self, folder: Path) -> None:
        """Write `ranker.safetensors` and `ranker.json`, atomically."""
        from safetensors.numpy import save_file

        counts = self.counts
        tensors = {"weights": self.weights, "popularity": counts.popularity, "recent": counts.recent}
        for name in MATRICES:
            matrix = getattr(counts, name)
            tensors |= {f"{name}.data": matrix.data.astype(np.float32),
                        f"{name}.indices": matrix.indices.astype(np.int32),
                        f"{name}.indptr": matrix.indptr.astype(np.int64)}
        with staged_folder(Path(folder)) as staging:
            save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()},
                      staging / "ranker.safetensors")
            write_json(staging / "ranker.json", {
                "format": FORMAT, "config": self.config.model_dump(), "newest": counts.newest, "knots": list(KNOTS),
                "part_names": list(PART_NAMES), "catalogue": catalogue_hash(self.catalogue),
                "settings": self.settings})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> Ranker:
        """Read what `save` wrote.

        Raises:
            ModelError: if it was fitted on another catalogue or by another version of the parts.
        """
        folder = Path(folder)
        about = read_json(folder / "ranker.json")
        if about.get("format") != FORMAT or tuple(about.get("part_names", ())) != PART_NAMES \
                or tuple(about["knots"]) != KNOTS:
            raise ModelError(str(folder), "the ranker has other parts than this version", "refit the ranker")
        if about["catalogue"] != catalogue_hash(catalogue):
            raise ModelError(str(folder), "the ranker was fitted on another catalogue or other texts",
                             "load it with the catalogue it was fitted on, or refit it")
        tensors = map_arrays(folder / "ranker.safetensors")
        sizes = {name: len(catalogue.vectors if name == "text_transitions" else catalogue) for name in MATRICES}
        matrices = {name: Sparse(tensors[f"{name}.indptr"], tensors[f"{name}.indices"], tensors[f"{name}.data"], size)
                    for name, size in sizes.items()}
        counts = Counts(tensors["popularity"], tensors["recent"], about["newest"], **matrices)
        return cls(RankerConfig(**about["config"]), catalogue, counts, tensors["weights"], about["settings"])


def catalogue_hash(catalogue: Catalogue) -> str:
    """SHA-256 of the item ids and of which items share a text."""
    digest = hashlib.sha256("\n".join(catalogue.item_ids).encode())
    digest.update(catalogue.text_of_item.astype("<i4").tobytes())
    digest.update(str(catalogue.vectors.shape).encode())
    return digest.hexdigest()
