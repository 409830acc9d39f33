"""What is promoted for a request is a part of its score.

Two values per placement and item: whether it is promoted *now* for this request, and how much of the time it *usually*
is. The base's popularity already contains an item's usual promotions, so "now" alone says little: the pair tells a
promotion that is news from one that is always there. Their weights depend on how much is known of a shopper, and come
from a conditional logit on top of the base (`fit_trust`).

Rows are integers sorted by context, so that a day's live rows are found once and a request only looks up its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.adaptation.trust import Choice, fit_trust
from recsys_core.artefacts import read_json, staged_folder
from recsys_core.base_model.blend import sample_candidates
from recsys_core.base_model.data import Catalogue, Queries, take_queries
from recsys_core.base_model.knots import KNOTS, cut_histories, knot_shares, known_steps
from recsys_core.base_model.ranker import Ranker, catalogue_hash
from recsys_core.errors import DataError, ModelError

FORMAT = 1
USUAL_DAYS = 56  # what an item's usual promotions are counted over
OPEN = 2**30  # epoch days from −OPEN or to OPEN: that side is open
KEPT_DAYS = 32  # days whose live rows and usual shares are kept in memory
SCORED = 16  # histories scored at once
ROWS = {"item": np.int32, "first": np.int32, "last": np.int32, "placement": np.int8, "context": np.int32}


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
class _Day:
    """One day's view. item: int32, the live rows' items; bounds: int64 [contexts·placements + 1], where those of each
    (context, placement) lie; usually: float32 [placements, N]."""

    item: np.ndarray
    bounds: np.ndarray
    usually: np.ndarray


@dataclass(frozen=True)
class Promotions:
    """What a shop promotes where and when, as arrays; see `make_promotions`.

    Args:
        placements: sorted names. contexts: what a row's context code stands for; {}: everywhere.
        item, first, last, placement, context: [R], sorted by context, placement, item and first. Days are days since
            1970-01-01, both inclusive; ∓`OPEN` where a side is open. Rows of one item, placement and context lie apart.
        begins: the first day of the table, −OPEN if no row has one. catalogue: its hash. size: N.
    """

    placements: tuple[str, ...]
    contexts: tuple[dict[str, str], ...]
    item: np.ndarray
    first: np.ndarray
    last: np.ndarray
    placement: np.ndarray
    context: np.ndarray
    begins: int
    catalogue: str
    size: int
    _days: dict[int, _Day] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.item)

    @property
    def names(self) -> list[str]:
        """The features' names: promoted_<placement> of all placements, then usually_<placement>."""
        return [f"{kind}_{name}" for kind in ("promoted", "usually") for name in self.placements]

    def features(self, context: Mapping[str, str], day: date) -> dict[str, np.ndarray]:
        """The named values of every item for one request, each float32 [N]; read-only.

        Args:
            context: what the request says. A row holds where all of its keys have the same values.
            day: the request's local day. Promoted: 1 or 0 on this day. Usually: the share of the days of the
                `USUAL_DAYS` before it (of those the table covers, if fewer) and of the table's contexts.
        """
        now, found = self._on(day), {}
        codes = list(self._holding(context))
        for at, name in enumerate(self.placements):
            values = np.zeros(self.size, np.float32)
            for code in codes:
                cell = code * len(self.placements) + at
                values[now.item[now.bounds[cell]:now.bounds[cell + 1]]] = 1.0
            found[f"promoted_{name}"] = values
        return found | {f"usually_{name}": row for name, row in zip(self.placements, now.usually, strict=True)}

    def _holding(self, context: Mapping[str, str]) -> Iterator[int]:
        """The codes of the contexts that a request is in."""
        for keys, codes in self._codes.items():
            values = tuple(context.get(key) for key in keys)
            if values in codes:
                yield codes[values]

    @cached_property
    def _codes(self) -> dict[tuple[str, ...], dict[tuple[str | None, ...], int]]:
        """Names that occur together → their values → the context's code."""
        found: dict[tuple[str, ...], dict[tuple[str | None, ...], int]] = {}
        for code, context in enumerate(self.contexts):
            keys = tuple(sorted(context))
            found.setdefault(keys, {})[tuple(context[key] for key in keys)] = code
        return found

    @cached_property
    def _breadth(self) -> np.ndarray:
        """float64 [contexts]: in how many of the table's contexts a row of each holds, as a share of all of them.
        Everywhere is no place of its own."""
        places = [context for context in self.contexts if context] or [{}]
        within = Counter((keys, tuple(place[key] for key in keys)) for keys in self._codes for place in places
                         if all(key in place for key in keys))
        keys = [tuple(sorted(context)) for context in self.contexts]
        counts = [within[own, tuple(context[key] for key in own)] for own, context in zip(keys, self.contexts, strict=True)]
        return np.array(counts, np.float64) / len(places)

    def _on(self, day: date) -> _Day:
        at = _epoch_day(day)
        found = self._days.get(at)
        if found is None:
            live = np.flatnonzero((self.first <= at) & (self.last >= at))
            cell = self.context[live].astype(np.int64) * len(self.placements) + self.placement[live]
            cells = np.arange(len(self.contexts) * len(self.placements) + 1)
            found = _Day(self.item[live], np.searchsorted(cell, cells), self._usually(at))
            found.usually.flags.writeable = False
            while len(self._days) >= KEPT_DAYS:
                self._days.pop(next(iter(self._days)), None)
            self._days[at] = found
        return found

    def _usually(self, at: int) -> np.ndarray:
        """float32 [placements, N]. Where nested contexts promote an item on one day, both count, up to a share of 1."""
        since = max(at - USUAL_DAYS, self.begins)
        rows = np.flatnonzero((self.first < at) & (self.last >= since))
        days = np.minimum(self.last[rows], at - 1) - np.maximum(self.first[rows], since) + 1
        cell = self.placement[rows].astype(np.int64) * self.size + self.item[rows]
        total = np.bincount(cell, days * self._breadth[self.context[rows]], len(self.placements) * self.size)
        share = np.minimum(total / max(at - since, 1), 1.0)
        return share.astype(np.float32).reshape(len(self.placements), self.size)

    def save(self, folder: Path) -> None:
        """Write promotions.json and promotions.safetensors, atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in ROWS}, f"{folder}/promotions.safetensors")
        _write(Path(folder) / "promotions.json", {
            "format": FORMAT, "placements": list(self.placements), "contexts": list(self.contexts),
            "begins": self.begins, "catalogue": self.catalogue})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, first_day: date | None = None) -> Promotions:
        """Read what `save` wrote.

        Args:
            catalogue: the one it was made with. first_day: only requests of this day or later will be asked: rows
                that ended more than `USUAL_DAYS` before it are left out, which changes no answer.

        Raises:
            ModelError: another format or catalogue, or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder, fix = Path(folder), "make the promotions again"
        about = read_json(folder / "promotions.json")
        if about.get("format") != FORMAT:
            raise ModelError(str(folder), f"has format {about.get('format')}, this version reads {FORMAT}", fix)
        if about.get("catalogue") != catalogue_hash(catalogue):
            raise ModelError(str(folder), "the promotions were made for another catalogue", fix)
        try:
            rows = load_file(str(folder / "promotions.safetensors"))
            arrays = {name: rows[name].astype(dtype) for name, dtype in ROWS.items()}
            placements, contexts = tuple(about["placements"]), tuple(about["contexts"])
            begins = int(about["begins"])
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ModelError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        if first_day is not None:
            kept = arrays["last"] >= _epoch_day(first_day) - USUAL_DAYS
            arrays = {name: values[kept] for name, values in arrays.items()}
        limits = {"item": len(catalogue), "placement": len(placements), "context": len(contexts)}
        if len({len(values) for values in arrays.values()}) > 1:
            raise ModelError(str(folder), "its columns differ in length", fix)
        if any(((arrays[name] < 0) | (arrays[name] >= limit)).any() for name, limit in limits.items()):
            raise ModelError(str(folder), "some rows name an item, placement or context that does not exist", fix)
        return cls(placements, contexts, **arrays, begins=begins, catalogue=about["catalogue"], size=len(catalogue))


@dataclass(frozen=True)
class PromotionWeights:
    """Promotions and what they count; see `fit_promotions`.

    Args:
        weights: float32 [knots, 2·placements], a row per `KNOTS`, a column per `Promotions.names`.
        settings: how they were learned; JSON.
    """

    promotions: Promotions
    weights: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)

    def offsets(self, context: Mapping[str, str], day: date, steps: int) -> dict[str, np.ndarray]:
        """What promotions add to the base's logit of every item, by name: float32 [N] each.

        Args:
            context, day: as in `Promotions.features`. steps: how many steps of the shopper are known.
        """
        weights = knot_shares(np.array([steps]))[0] @ self.weights
        values = self.promotions.features(context, day)
        return {name: np.float32(weight) * values[name]
                for name, weight in zip(self.promotions.names, weights, strict=True)}

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
        _write(Path(folder) / "weights.json", {
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


def make_promotions(table: pl.DataFrame, catalogue: Catalogue) -> Promotions:
    """Number the rows of a promotions table; rows of items outside the catalogue are left out.

    Args:
        table: `schema.RAW_PROMOTIONS`. Overlapping or adjoining rows of one item, placement and context become one.
    """
    items = pl.DataFrame({"item_id": catalogue.item_ids}).with_columns(item=pl.int_range(pl.len(), dtype=pl.Int32))
    texts, names = table["context"].unique().sort(), table["placement"].unique().sort()
    codes = pl.DataFrame({"context": texts}).with_columns(code=pl.int_range(pl.len(), dtype=pl.Int32))
    places = pl.DataFrame({"placement": names}).with_columns(place=pl.int_range(pl.len(), dtype=pl.Int8))
    rows = table.join(items, on="item_id").join(codes, on="context", nulls_equal=True).join(places, on="placement").select(
        "item", "place", "code", first=pl.col("first_day").to_physical().fill_null(-OPEN),
        last=pl.col("last_day").to_physical().fill_null(OPEN))
    item, placement, context, first, last = (rows[name].to_numpy() for name in ("item", "place", "code", "first", "last"))
    group = (context.astype(np.int64) * len(names) + placement) * len(catalogue) + item
    order = np.lexsort((first, group))
    kept, last = _merge(group[order], first[order], last[order])
    dated = first[first > -OPEN]
    order = order[kept]
    return Promotions(
        tuple(names), tuple(json.loads(text) if text else {} for text in texts), item[order], first[order], last,
        placement[order], context[order], int(dated.min()) if len(dated) else -OPEN, catalogue_hash(catalogue),
        len(catalogue))


def _merge(group: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join intervals that overlap or adjoin; sorted by group and first day.

    Returns:
        The rows that begin an interval, int64 [k], and the interval's last day, int32 [k].
    """
    if not len(group):
        return np.zeros(0, np.int64), last
    new = np.r_[True, group[1:] != group[:-1]]
    number = np.cumsum(new) - 1  # ascending, so that a running maximum starts afresh in every group
    reached = np.maximum.accumulate(number << 32 | (last.astype(np.int64) + OPEN)) & 0xFFFFFFFF
    begins = np.flatnonzero(new | np.r_[True, first[1:] > reached[:-1] - OPEN + 1])
    return begins, (np.maximum.reduceat(last, begins)).astype(np.int32)


def fit_promotions(promotions: Promotions, ranker: Ranker, queries: Queries, contexts: Sequence[Mapping[str, str]],
                   days: Sequence[date], config: PromotionConfig) -> PromotionWeights:
    """Learn what promotions count on top of a base that is fixed.

    Args:
        ranker: fitted on events before the questions. queries: n questions with targets.
        contexts, days: what each question's request says, and its local day.

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
    day = np.array([_epoch_day(one) for one in days], np.int64)[rows]
    for at in np.unique(day):
        todays = rows[day == at]
        now = int(np.median(queries.timestamp[todays]))
        for low in range(0, len(todays), SCORED):
            part = todays[low:low + SCORED]
            yield from zip(part.tolist(), ranker.score(take_queries(queries, part).histories, now), strict=True)


def _epoch_day(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
