"""The closed-form head: a segment's tilt of the base, solved instead of trained.

Model: p(i | history) ∝ exp(s_i + g_i + θ·v_i + o_i), with s the base's logits. Solved coarse to fine,
each stage on what the stages before it leave over, against the base's mean distribution q at the
shots (at request time, where no base was scored, against its popularity):

1. Groups g: for every level of the category path and the brand, counts of the shots with a Dirichlet
   prior of weight m centred on q: g = log((c + m q) / ((K + m) q)).
2. Text θ: softmax regression on the vectors' leading principal components, ridge λ|θ|²/2 (`tilt`). The
   data term grows with K and the penalty does not, so few shots stay near zero.
3. Items o: as groups, for the items among the shots; all others are left to groups and text. Not against
   popularity: what a personal base expects of a single item is another thing, and its offset would count twice.

Every m and λ is chosen by leaving one user's shots out; a stage that does not clearly predict the left-out
shots better than its absence is dropped. With no stage left the adapter is the base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.cells import Cells, make_cells
from recsys_core.adaptation.tilt import Tilts, solve_tilts
from recsys_core.base_model.data import Catalogue

FEW = 32  # shots that are compared pairwise: faster than sorting them
TOGETHER = 64  # segments solved in one go: their shares of all cells stay in the processor's cache


class ClosedFormConfig(BaseModel, frozen=True, extra="forbid"):
    """Grids the leave-one-user-out choice runs over."""

    components: int = Field(64, ge=1, description="principal components of the vectors the tilt lives in")
    strengths: tuple[float, ...] = Field((3.0, 10.0, 30.0), description="λ of the text tilt")
    group_priors: tuple[float, ...] = Field((4.0, 16.0, 64.0, 256.0), description="m of groups, in shots")
    item_priors: tuple[float, ...] = Field((30.0, 100.0, 300.0, 1000.0, 10000.0),
                                           description="m of single items, in shots")
    evidence: float = Field(2.0, ge=0, description="nats a stage must gain over all left-out shots: few shots "
                                                   "agree by chance, and then saying nothing costs nothing")


@dataclass(frozen=True)
class Prior:
    """What the closed form needs to know of a base, prepared once.

    Args:
        catalogue: the base's items. item_share: float64 [N], the base's popularity, sums to 1, > 0.
        components: float32 [M, r], the texts' vectors on the leading principal components.
        axes: float32 [d, r], the components' directions. lock: the base's hashes.
    """

    catalogue: Catalogue
    item_share: np.ndarray
    components: np.ndarray
    axes: np.ndarray
    lock: dict[str, str]

    @cached_property
    def cells(self) -> Cells:
        """The catalogue in cells; made by the first adaptation."""
        return make_cells(self.catalogue, self.item_share, self.components)


@dataclass(frozen=True)
class Support:
    """K shots as the solver sees them.

    Args:
        items, users: int [K]. share: float64 [N], the base's mean distribution at the shots, > 0; None
            at request time: its popularity, for which everything is prepared (and no single item is tilted).
    """

    items: np.ndarray
    users: np.ndarray
    share: np.ndarray | None = None


def prepare(catalogue: Catalogue, counts: np.ndarray, lock: dict[str, str], components: int = 64) -> Prior:
    """Find the principal components of the text vectors under the base's popularity.

    Args:
        counts: float [N], how often each item was taken in the base's training rows; smoothed by
            half an event each so that unseen items keep a share.
    """
    share = (np.asarray(counts, np.float64) + 0.5) / (np.sum(counts) + 0.5 * len(counts))
    weights = np.bincount(catalogue.text_of_item, weights=share, minlength=len(catalogue.vectors))
    vectors = catalogue.vectors.astype(np.float64)
    mean = weights @ vectors
    covariance = (vectors * weights[:, None]).T @ vectors - np.outer(mean, mean)
    _, basis = np.linalg.eigh(covariance)
    axes = np.ascontiguousarray(basis[:, ::-1][:, :components]).astype(np.float32)
    return Prior(catalogue, share, catalogue.vectors @ axes, axes, lock)


def adapt_closed_form(prior: Prior, supports: Mapping[str, Support], config: ClosedFormConfig) -> dict[str, Adapter]:
    """Solve the adapters of any number of segments from their shots: a fraction of a millisecond each.

    Args:
        supports: segment → its shots. Segments do not influence each other. Single items only where a share is given.
    """
    names, found = list(supports), {}
    for low in range(0, len(names), TOGETHER):
        part = names[low:low + TOGETHER]
        found |= _solve(prior, part, [supports[name] for name in part], config)
    return found


@dataclass(frozen=True)
class _Rows:
    """The T shots of S segments one after the other: segment, user (a number of its own in every segment) and item [T]."""

    segments: int
    segment: np.ndarray
    user: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class _Values:
    """What a stage found: of segment[j] the member[j] (a group's code or an item) gets value[j]; strength [S], NaN: none."""

    segment: np.ndarray
    member: np.ndarray
    value: np.ndarray
    strength: np.ndarray

    @classmethod
    def of_none(cls, strength: np.ndarray) -> _Values:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), strength)


def _solve(prior: Prior, names: list[str], supports: list[Support], config: ClosedFormConfig) -> dict[str, Adapter]:
    rows, cells = _stack(supports), prior.cells
    cell = cells.of_item[rows.item]
    before, expected = _base_shares(prior, supports, rows)
    q, levels = before, []
    for level, (_, _, labels) in enumerate(prior.catalogue.groups):
        values, rest, q = _tilt_level(rows, q, cells, level, len(labels), cell, config)
        levels.append((values, rest))
    expected = expected * q[rows.segment, cell] / before[rows.segment, cell]
    z = prior.components[prior.catalogue.text_of_item[rows.item]]
    tilts = solve_tilts(cells.moments, q, z, rows.segment, rows.user, config.strengths, config.evidence)
    expected = expected * np.exp((z * tilts.coefficients[rows.segment]).sum(axis=1) - tilts.log_partition[rows.segment])
    scored = np.array([support.share is not None for support in supports], bool)
    items = _solve_items(rows, np.where(scored[rows.segment], rows.item, -1), expected, config)
    return _assemble(prior, names, rows, levels, tilts, items)


def _stack(supports: list[Support]) -> _Rows:
    sizes = [len(support.items) for support in supports]
    segment = np.repeat(np.arange(len(supports)), sizes)
    user = np.concatenate([support.users for support in supports]).astype(np.int64)
    _, user = np.unique(segment * (user.max(initial=0) + 1) + user, return_inverse=True)
    return _Rows(len(supports), segment, user, np.concatenate([support.items for support in supports]))


def _base_shares(prior: Prior, supports: list[Support], rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """The base's share of every cell, float32 [S, U], and of each shot's item, float64 [T]."""
    cells, segment = prior.cells, rows.segment
    of_cell, expected = np.empty((len(supports), len(cells.share)), np.float32), prior.item_share[rows.item]
    for s, support in enumerate(supports):
        if support.share is None:
            of_cell[s] = cells.share
        else:
            of_cell[s] = np.bincount(cells.of_item, support.share, len(cells.share))
            expected[segment == s] = support.share[support.items]
    return of_cell, expected


def _tilt_level(rows: _Rows, q: np.ndarray, cells: Cells, level: int, size: int, cell: np.ndarray,
                config: ClosedFormConfig) -> tuple[_Values, np.ndarray, np.ndarray]:
    """One level of groups, on what the levels before it left over.

    Args:
        q: float32 [S, U], the cells' share so far. size: groups of the level. cell: int [T], each shot's cell.

    Returns:
        the groups with shots; the offset of all others float64 [S] (0 where the level is left out); the new q.
    """
    codes, (order, groups, starts) = cells.codes[level], cells.runs[level]
    member = codes[cell]
    mass = np.zeros((rows.segments, size + 1))
    mass[:, groups + 1] = np.add.reduceat(q[:, order], starts, axis=1)
    mass = mass[:, 1:] + 1e-12
    mass /= mass.sum(axis=1, keepdims=True)
    expected = mass[rows.segment, member]
    strength, shots = _choose_prior(rows, member, expected, config.group_priors, config.evidence)
    if np.isnan(strength).all():  # the level says nothing of any segment: few shots mostly stop here
        return _Values.of_none(strength), np.zeros(rows.segments), q
    segment, code, count = _count(rows, member, strength)
    m, n = strength[segment], shots[segment]
    share = mass[segment, code]
    value = np.log((count + m * share) / ((n + m) * share))
    rest = np.nan_to_num(np.log(strength / (shots + strength)))
    factor = np.repeat(np.exp(rest)[:, None], size + 1, axis=1).astype(np.float32)
    factor[:, 0] = 1.0
    factor[segment, code + 1] = np.exp(value)
    q = q * factor[:, codes + 1]
    return _Values(segment, code, value, strength), rest, q / q.sum(axis=1, keepdims=True)


def _choose_prior(rows: _Rows, member: np.ndarray, expected: np.ndarray, priors: tuple[float, ...], evidence: float
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Per segment the prior weight m under which the other users' shots best predict each user's.

    Args:
        member: int [T], the group (or item) of each shot, −1 for none. expected: float64 [T], its share under q.

    Returns:
        m float64 [S], NaN where none gains more than `evidence`; shots with a member [S].
    """
    known = member >= 0
    segment, user, member, expected = rows.segment[known], rows.user[known], member[known].astype(np.int64), expected[known]
    width = int(member.max(initial=0)) + 1
    shots = np.bincount(segment, minlength=rows.segments)
    left = _size_of_group(segment * width + member) - _size_of_group(user * width + member)
    size = shots[segment] - np.bincount(user)[user]
    m = np.array(priors)[:, None]
    each = np.log((left + m * expected) / ((size + m) * expected))
    gains = np.array([np.bincount(segment, row, rows.segments) for row in each])
    best = gains.argmax(axis=0)
    pays = gains[best, np.arange(rows.segments)] > evidence
    return np.where(pays, np.array(priors)[best], np.nan), shots


def _size_of_group(key: np.ndarray) -> np.ndarray:
    """int [T]: how often each key occurs."""
    if len(key) <= FEW:
        return (key[:, None] == key).sum(axis=1)
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[inverse]


def _count(rows: _Rows, member: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(segment, member, number of shots) of every pair that occurs, in the segments that have a strength."""
    kept = (member >= 0) & np.isfinite(strength)[rows.segment]
    width = int(member.max(initial=0)) + 1
    key, count = np.unique(rows.segment[kept] * width + member[kept], return_counts=True)
    return key // width, key % width, count


def _solve_items(rows: _Rows, member: np.ndarray, expected: np.ndarray, config: ClosedFormConfig) -> _Values:
    """Offsets of single items.

    Args:
        member: int [T], each shot's item, −1 where it is not to be tilted. expected: float64 [T], its share after the
            stages before.
    """
    strength, _ = _choose_prior(rows, member, expected, config.item_priors, config.evidence)
    if np.isnan(strength).all():
        return _Values.of_none(strength)
    segment, item, count = _count(rows, member, strength)
    width, known = int(member.max(initial=0)) + 1, np.flatnonzero(member >= 0)
    key, first = np.unique(rows.segment[known] * width + member[known], return_index=True)
    share = expected[known[first[np.searchsorted(key, segment * width + item)]]]
    return _Values(segment, item, np.log1p(count / (strength[segment] * share)), strength)


def _assemble(prior: Prior, names: list[str], rows: _Rows, levels: list[tuple[_Values, np.ndarray]], tilts: Tilts,
              items: _Values) -> dict[str, Adapter]:
    """One adapter per segment from the stages' arrays."""
    theta = (tilts.coefficients @ prior.axes.T).astype(np.float32)
    groups: list[dict[str, float]] = [{} for _ in names]
    for (name, _, labels), (values, rest) in zip(prior.catalogue.groups, levels, strict=True):
        for s in np.flatnonzero(np.isfinite(values.strength)).tolist():
            groups[s][name] = float(rest[s])
        for s, code, value in zip(values.segment.tolist(), values.member.tolist(), values.value.tolist(), strict=True):
            groups[s][f"{name}|{labels[code]}"] = value
    bounds = np.searchsorted(items.segment, np.arange(len(names) + 1))
    shots = np.bincount(rows.segment, minlength=len(names)).tolist()
    users = np.bincount(rows.segment[np.unique(rows.user, return_index=True)[1]], minlength=len(names)).tolist()
    strengths = {**{level[0]: values.strength for level, (values, _) in zip(prior.catalogue.groups, levels, strict=True)},
                 "text": tilts.strength, "items": items.strength}
    found, ids = {}, prior.catalogue.item_ids
    for s, name in enumerate(names):
        own = slice(bounds[s], bounds[s + 1])
        chosen = {stage: float(m[s]) if m[s] == m[s] else None for stage, m in strengths.items()}
        found[name] = Adapter(name, "closed_form", dict(prior.lock), theta[s], groups=groups[s],
                              item_ids=tuple([ids[row] for row in items.member[own].tolist()]),
                              item_values=items.value[own].astype(np.float32),
                              settings={"shots": shots[s], "users": users[s], "strength": chosen})
    return found
