"""The closed-form head: a segment's tilt of the base, solved instead of trained.

Model: p(i | history) ∝ exp(s_i + g_i + θ·v_i + o_i), with s the base's logits. Solved coarse to fine,
each stage on what the stages before it leave over, against the base's mean distribution q at the
shots (where no base was scored, against its popularity):

1. Groups g: for every level of the category path and the brand, counts of the shots with a Dirichlet
   prior of weight m centred on q: g = log((c + m q) / ((K + m) q)).
2. Text θ: softmax regression on the vectors' leading principal components, ridge λ|θ|²/2 (`tilt`). The
   data term grows with K and the penalty does not, so few shots stay near zero.
3. Items o: counts against what is expected, most items as expected and a few far from it (`items`).

Every m, λ and item prior is chosen by leaving one user's shots out; a stage that does not clearly predict the left-out
shots better than its absence is dropped. With no stage left the adapter is the base.

Three ways through the same stages: `adapt_closed_form` chooses per segment (a request: tens of shots, and no single
items, which the history's own part of the base knows better). `choose_strengths` chooses once for all members of a
family, whose counts then only need `solve`: thousands of members, or one member with each shopper left out in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.items import ItemPrior
from recsys_core.adaptation.levels import Rows, Values
from recsys_core.adaptation.solved import Level, Part, Ragged, Solved
from recsys_core.adaptation.stages import (
    TOGETHER,
    Counted,
    Prior,
    Stages,
    Support,
    crowding,
    in_parts,
    prepare,
    stack,
    stack_counts,
    stack_unseen,
)
from recsys_core.adaptation.tilt import Tilts
from recsys_core.errors import AdapterError
from recsys_core.interactions import KNOTS, Catalogue

__all__ = ["ClosedFormConfig", "Counted", "PoolConfig", "Prior", "Strengths", "Support", "adapt_closed_form",
           "choose_strengths", "crowding", "prepare", "solve", "solve_counts", "stage_strengths"]

Choice = TypeVar("Choice", float, ItemPrior)


class ClosedFormConfig(BaseModel, frozen=True, extra="forbid"):
    """Grids the leave-one-user-out choice runs over."""

    strengths: tuple[float, ...] = Field((3.0, 10.0, 30.0), description="λ of the text tilt")
    group_priors: tuple[float, ...] = Field((4.0, 16.0, 64.0, 256.0), description="m of groups, in shots")
    evidence: float = Field(2.0, ge=0, description="nats a stage must gain over all left-out shots: few shots "
                                                   "agree by chance, and then saying nothing costs nothing")


class PoolConfig(ClosedFormConfig, frozen=True, extra="forbid"):
    """The same where a family's members choose together: many shots, so the grids reach further."""

    strengths: tuple[float, ...] = Field((3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), description="λ of the text tilt")
    group_priors: tuple[float, ...] = Field((4.0, 16.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0),
                                            description="m of groups, in shots")
    item_priors: tuple[float, ...] = Field((1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10000.0),
                                           description="a of single items, in expected shots")
    rare_items: tuple[float, ...] = Field((0.0, 0.001, 0.01, 0.1), description="π of single items")
    likeness: float = Field(0.1, ge=0, le=1, description="correlation of one shopper's shots, see `Strengths`")
    members: int = Field(256, ge=1, description="random members that are looked at")
    shots: int = Field(256_000, ge=2, description="random shots that are looked at, spread over these members")


@dataclass(frozen=True)
class Strengths:
    """How strongly each stage is held back; None: the stage is off.

    Shots of one shopper resemble each other, so that a thousand of ten shoppers say less than a thousand of a thousand.
    Every strength is multiplied by the design effect 1 + ρ(b − 1) (Kish 1965). b is the number of shots that the shopper
    of a shot gave. What was chosen on many shots of few shoppers then also fits few shots of many.

    Args:
        groups: m per level of `Catalogue.groups`.
        text: λ.
        items: a and π of `items.ItemPrior`.
        likeness: ρ.
    """

    groups: tuple[float | None, ...]
    text: float | None = None
    items: ItemPrior | None = None
    likeness: float = 0.0

    def design_effect(self, crowd: np.ndarray) -> np.ndarray:
        """float64 [S]: what the strengths are multiplied by; crowd [S] as `Counted.crowd`."""
        return 1.0 + self.likeness * (crowd - 1.0)

    def is_off(self) -> bool:
        """Whether no stage is on: then every adapter is the base."""
        return all(strength is None for strength in (*self.groups, self.text, self.items))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "groups": list(self.groups), "items": self.items and list(self.items)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Strengths:
        items = found["items"]
        return cls(tuple(found["groups"]), found["text"], items and ItemPrior(*items), found["likeness"])


def adapt_closed_form(prior: Prior, supports: Mapping[str, Support], config: ClosedFormConfig) -> dict[str, Adapter]:
    """Solve the adapters of any number of segments from their shots: a fraction of a millisecond each.

    Args:
        prior: the base they are adapted from.
        supports: segment → its shots. Segments do not influence each other.
        config: the grids that strengths are chosen from.
    """
    names = list(supports)
    found: dict[str, Adapter] = {}
    for low in range(0, len(names), TOGETHER):
        part = names[low:low + TOGETHER]
        found |= _adapt(prior, part, [supports[name] for name in part], config)
    return found


def choose_strengths(prior: Prior, supports: Sequence[Support], config: PoolConfig, *, items: bool,
                     rng: np.random.Generator) -> Strengths:
    """The strengths under which the shots of other users best predict each user's, summed over all members.

    Stage by stage, each given those before it; a stage that gains no more than `config.evidence` nats stays off.

    Args:
        supports: one per member; a random part of them is looked at.
        items: whether single items may be tilted.
    """
    parts = list(in_parts(_sample(supports, config, rng)))
    found, off, grid = Strengths((), likeness=config.likeness), np.nan, _item_grid(config) if items else []
    effects = [found.design_effect(np.array([crowding(support.users) for support in part])) for part in parts]
    stages = [Stages(prior, [support.share for support in part], stack(part), _unseen(prior, part, effect, grid))
              for part, effect in zip(parts, effects, strict=True)]

    def best(grid: Sequence[Choice], gains: Iterable[np.ndarray]) -> Choice | None:
        """The best of a grid, whose gains are [M, S] for every part; None where it gains too little."""
        total = sum((gain.sum(axis=1) for gain in gains), np.zeros(len(grid)))
        return grid[int(total.argmax())] if total.max() > config.evidence else None

    def choose(grid: Sequence[float], gains_of: Callable[[Stages, np.ndarray], np.ndarray]) -> float | None:
        """The same where every strength is multiplied by the design effect."""
        return best(grid, (gains_of(stage, np.outer(grid, effect)) for stage, effect in zip(stages, effects, strict=True)))

    def choose_level(level: int) -> float | None:
        return choose(config.group_priors, lambda stage, priors: stage.level_gains(level, priors))

    for level in range(len(prior.catalogue.groups)):
        m = choose_level(level)
        for stage, effect in zip(stages, effects, strict=True):
            stage.tilt_level(level, effect * (off if m is None else m))
        found = replace(found, groups=(*found.groups, m))
    found = replace(found, text=choose(config.strengths, lambda stage, strengths: stage.text_gains(strengths.T).T))
    if not items:
        return found
    for stage, effect in zip(stages, effects, strict=True):
        if found.text is not None:
            stage.tilt_text(effect * found.text)
    gains = (stage.item_gains(grid, effect) for stage, effect in zip(stages, effects, strict=True))
    return replace(found, items=best(grid, gains))


def solve(prior: Prior, shots: Mapping[str, Counted], strengths: Strengths) -> dict[str, Adapter]:
    """The adapters of any number of segments from their counts, the strengths given.

    Raises:
        AdapterError: the strengths were chosen on a catalogue with other levels of groups.
    """
    found = solve_counts(prior, shots.values(), strengths)
    stages, one = stage_strengths(prior.catalogue, strengths), np.ones(len(KNOTS), np.float32)
    return {name: found.adapter(s, name, "counts", prior.lock, one, {"shots": int(found.shots[s]), "strength": stages})
            for s, name in enumerate(shots)}


def solve_counts(prior: Prior, shots: Iterable[Counted], strengths: Strengths) -> Solved:
    """The same as arrays. `shots` may be a generator: no more than `TOGETHER` are held at a time.

    Raises:
        AdapterError: the strengths were chosen on a catalogue with other levels of groups.
    """
    groups = prior.catalogue.groups
    if len(strengths.groups) != len(groups):
        raise AdapterError("strengths", f"were chosen for {len(strengths.groups)} levels of groups, the catalogue has "
                           f"{len(groups)}", "adapt the segment again on this base")
    on = [(level, m) for level, m in enumerate(strengths.groups) if m is not None]
    levels: list[list[Part]] = [[] for _ in on]
    rests: list[list[np.ndarray]] = [[] for _ in on]
    items: list[Part] = []
    thetas, sizes = [], []
    for part in in_parts(shots):
        segments, effect = len(part), strengths.design_effect(np.array([one.crowd for one in part]))
        unseen = None if strengths.items is None else stack_unseen(
            prior, [(one.items, one.counts.sum() / e, one.share) for one, e in zip(part, effect, strict=True)],
            strengths.items.least_expected)
        stage = Stages(prior, [one.share for one in part], stack_counts(part), unseen)
        for at, (level, m) in enumerate(on):
            values, rest = stage.tilt_level(level, effect * m)
            levels[at].append((segments, values.segment, values.member, values.value))
            rests[at].append(rest)
        if strengths.text is not None:
            thetas.append((stage.tilt_text(effect * strengths.text).coefficients @ prior.axes.T).astype(np.float32))
        if strengths.items is not None:
            values = stage.tilt_items(strengths.items, effect)
            items.append((segments, values.segment, values.member, values.value))
        else:
            items.append((segments, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)))
        sizes += [one.counts.sum() for one in part]
    return Solved(tuple(Level(groups[level][0], groups[level][2], np.concatenate(rest, dtype=np.float32) if rest else
                              np.zeros(0, np.float32), Ragged.of_parts(values))
                        for (level, _), rest, values in zip(on, rests, levels, strict=True)),
                  np.concatenate(thetas) if thetas else np.zeros((0, len(prior.axes)), np.float32),
                  prior.catalogue.item_ids, Ragged.of_parts(items), np.array(sizes, np.int64))


def stage_strengths(catalogue: Catalogue, strengths: Strengths) -> dict[str, float | None]:
    """The strengths by the names of the stages, as adapters note them."""
    named = {name: m for (name, _, _), m in zip(catalogue.groups, strengths.groups, strict=True)}
    items, rare = strengths.items or (None, None)
    return {**named, "text": strengths.text, "items": items, "rare_items": rare}


def _adapt(prior: Prior, names: list[str], supports: list[Support], config: ClosedFormConfig) -> dict[str, Adapter]:
    """Some segments, each with strengths of its own."""
    stage, levels = Stages(prior, [support.share for support in supports], stack(supports)), []
    rows = stage.rows
    for level in range(len(prior.catalogue.groups)):
        strength = _best_each(config.group_priors, stage.level_gains(level, config.group_priors), config)
        levels.append(stage.tilt_level(level, strength))
    return _assemble(prior, names, rows, levels, stage.choose_text(config.strengths, config.evidence))


def _best_each(grid: Sequence[float], gains: np.ndarray, config: ClosedFormConfig) -> np.ndarray:
    """Per segment the best of the grid, float64 [S], NaN where it gains too little; gains [M, S]."""
    best = gains.argmax(axis=0)
    return np.where(gains[best, np.arange(gains.shape[1])] > config.evidence, np.array(grid)[best], np.nan)


def _item_grid(config: PoolConfig) -> list[ItemPrior]:
    return [ItemPrior(a, rare) for a in config.item_priors for rare in config.rare_items]


def _unseen(prior: Prior, part: Sequence[Support], effect: np.ndarray, grid: Sequence[ItemPrior]) -> Rows | None:
    """The items that any prior of the grid would lower; None where there is no item stage."""
    if not grid:
        return None
    return stack_unseen(prior, [(np.unique(support.items), len(support.items) / e, support.share)
                                for support, e in zip(part, effect, strict=True)], min(one.least_expected for one in grid))


def _sample(supports: Sequence[Support], config: PoolConfig, rng: np.random.Generator) -> Iterator[Support]:
    """Some of the members that have shots, with some of their shots."""
    filled = [at for at, support in enumerate(supports) if len(support.items)]
    if not filled:
        return
    members = min(config.members, len(filled))
    most = max(config.shots // members, 2)
    for at in np.sort(rng.choice(filled, members, replace=False)):
        support = supports[at]
        if len(support.items) > most:
            kept = np.sort(rng.choice(len(support.items), most, replace=False))
            support = Support(support.items[kept], support.users[kept], support.share)
        yield support


def _assemble(prior: Prior, names: list[str], rows: Rows, levels: list[tuple[Values, np.ndarray]], tilts: Tilts
              ) -> dict[str, Adapter]:
    """One adapter per segment from the stages' arrays."""
    theta = (tilts.coefficients @ prior.axes.T).astype(np.float32)
    groups: list[dict[str, float]] = [{} for _ in names]
    for (name, _, labels), (values, rest) in zip(prior.catalogue.groups, levels, strict=True):
        for s in np.flatnonzero(np.isfinite(values.strength)).tolist():
            groups[s][name] = float(rest[s])
        for s, code, value in zip(values.segment.tolist(), values.member.tolist(), values.value.tolist(), strict=True):
            groups[s][f"{name}|{labels[code]}"] = value
    shots = np.bincount(rows.segment, minlength=len(names)).tolist()
    users = np.bincount(rows.segment[np.unique(rows.users, return_index=True)[1]], minlength=len(names)).tolist()
    strengths = {**{level[0]: values.strength for level, (values, _) in zip(prior.catalogue.groups, levels, strict=True)},
                 "text": tilts.strength}
    found = {}
    for s, name in enumerate(names):
        chosen = {stage: float(m[s]) if m[s] == m[s] else None for stage, m in strengths.items()}
        found[name] = Adapter(name, "closed_form", dict(prior.lock), theta[s], groups=groups[s],
                              settings={"shots": shots[s], "users": users[s], "strength": chosen})
    return found
