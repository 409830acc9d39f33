"""The base and the shots as the closed form sees them, and segments on their way through its stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from recsys_core.adaptation.cells import Cells, make_cells
from recsys_core.adaptation.items import ItemPrior, item_gains, spectrum, tilt_items, unseen_items
from recsys_core.adaptation.levels import Rows, Values, base_shares, group_mass, prior_gains, tilt_level
from recsys_core.adaptation.tilt import Tilts, fixed_tilts, solve_tilts, tilt_gains
from recsys_core.interactions import Catalogue

Z_ROWS = 65_536  # rows whose text components are held at a time
TOGETHER = 64  # segments solved in one go: their shares of all cells stay in the processor's cache
ROWS_TOGETHER = 1_000_000  # unless they have more rows than this: a few hundred MB of working memory


@dataclass(frozen=True)
class Prior:
    """What the closed form needs to know of a base, prepared once.

    Args:
        catalogue: the base's items.
        item_share: float64 [N], the base's popularity, sums to 1, > 0.
        components: float32 [M, r], the texts' vectors on the leading principal components.
        axes: float32 [d, r], the components' directions.
        lock: the base's hashes.
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

    @cached_property
    def by_share(self) -> np.ndarray:
        """int64 [N]: the items by falling share."""
        return np.argsort(-self.item_share, kind="stable")


@dataclass(frozen=True)
class Support:
    """K shots as the solver sees them.

    Args:
        items: int [K], catalogue rows.
        users: int [K], who gave each shot.
        share: float64 [N], the base's mean distribution at the shots, > 0; None: its popularity, for which everything is
            prepared.
    """

    items: np.ndarray
    users: np.ndarray
    share: np.ndarray | None = None


def prepare(catalogue: Catalogue, counts: np.ndarray, lock: dict[str, str], components: int = 64) -> Prior:
    """Find the principal components of the text vectors under the base's popularity.

    Args:
        catalogue: the base's items.
        counts: float [N], how often each item was taken in the base's training rows; smoothed by half an event each so
            that unseen items keep a share.
        lock: the base's hashes.
        components: how many principal components of the texts are kept.
    """
    share = (np.asarray(counts, np.float64) + 0.5) / (np.sum(counts) + 0.5 * len(counts))
    weights = np.bincount(catalogue.text_of_item, weights=share, minlength=len(catalogue.vectors))
    vectors = catalogue.vectors.astype(np.float64)
    mean = weights @ vectors
    covariance = (vectors * weights[:, None]).T @ vectors - np.outer(mean, mean)
    _, basis = np.linalg.eigh(covariance)
    axes = np.ascontiguousarray(basis[:, ::-1][:, :components]).astype(np.float32)
    return Prior(catalogue, share, catalogue.vectors @ axes, axes, lock)


@dataclass(frozen=True)
class Counted:
    """Shots as counts, for `solve`.

    Args:
        items: int [m], distinct.
        counts: float [m], > 0.
        share: float64 [N] as of `Support`.
        crowd: how many shots the shopper of a shot gave, on average over the shots.
    """

    items: np.ndarray
    counts: np.ndarray
    share: np.ndarray | None = None
    crowd: float = 1.0


Shots = TypeVar("Shots", Support, Counted)


def in_parts(shots: Iterable[Shots]) -> Iterator[list[Shots]]:
    """Lists of at most `TOGETHER` of them, and of no more than `ROWS_TOGETHER` rows where that is possible."""
    part: list[Shots] = []
    rows = 0
    for one in shots:
        size = len(one.items)
        if part and (len(part) == TOGETHER or rows + size > ROWS_TOGETHER):
            yield part
            part, rows = [], 0
        part.append(one)
        rows += size
    if part:
        yield part


def crowding(users: np.ndarray) -> float:
    """How many shots the shopper of a shot gave, on average over the shots: Σ n_u² / Σ n_u; 1 without shots.

    >>> crowding(np.array([7, 7, 7, 3]))
    2.5
    """
    if not len(users):
        return 1.0
    given = np.bincount(np.unique(users, return_inverse=True)[1])
    return float((given**2).sum() / given.sum())


def stack(supports: Sequence[Support]) -> Rows:
    sizes = [len(support.items) for support in supports]
    segment = np.repeat(np.arange(len(supports)), sizes)
    user = np.concatenate([support.users for support in supports]).astype(np.int64)
    _, user = np.unique(segment * (user.max(initial=0) + 1) + user, return_inverse=True)
    return Rows(len(supports), segment, np.concatenate([support.items for support in supports]), user)


def stack_counts(shots: Sequence[Counted]) -> Rows:
    segment = np.repeat(np.arange(len(shots)), [len(one.items) for one in shots])
    return Rows(len(shots), segment, np.concatenate([one.items for one in shots]).astype(np.int64),
                weight=np.concatenate([one.counts for one in shots]).astype(np.float64))


class Stages:
    """Some segments on their way through the stages: the cells' shares so far, and what is expected of every row.

    Args:
        unseen: of every segment, items among whose shots it is not and which the item stage shall lower; None: none.
    """

    def __init__(self, prior: Prior, shares: Sequence[np.ndarray | None], rows: Rows, unseen: Rows | None = None) -> None:
        self.prior, self.rows, self._shares = prior, rows, shares
        self.unseen = unseen or Rows(rows.segments, *[np.zeros(0, np.int64)] * 2)
        self.cell = prior.cells.of_item[rows.item]
        self._segment, self._item = (np.r_[getattr(rows, name), getattr(self.unseen, name)] for name in ("segment", "item"))
        self._cell = prior.cells.of_item[self._item]
        self.q, self._expected = base_shares(prior.cells, prior.item_share, shares, self._segment, self._item)
        self._before = self.q[self._segment, self._cell]
        self._mass: tuple[int, np.ndarray] = -1, self.q

    def _mass_of(self, level: int) -> np.ndarray:
        if self._mass[0] != level:
            size = len(self.prior.catalogue.groups[level][2])
            self._mass = level, group_mass(self.q, self.prior.cells, level, size)
        return self._mass[1]

    def level_gains(self, level: int, priors: np.ndarray | Sequence[float]) -> np.ndarray:
        """float64 [M, S]: see `levels.prior_gains`."""
        member = self.prior.cells.codes[level][self.cell]
        return prior_gains(self.rows, member, self._mass_of(level)[self.rows.segment, member], priors)

    def tilt_level(self, level: int, strength: np.ndarray) -> tuple[Values, np.ndarray]:
        """See `levels.tilt_level`; later stages start from its result."""
        codes, mass = self.prior.cells.codes[level], self._mass_of(level)
        values, rest, self.q = tilt_level(self.rows, self.q, mass, codes, codes[self.cell], strength)
        return values, rest

    @cached_property
    def expected(self) -> np.ndarray:
        """float64 [T + unseen]: the share of each row's item after the groups; asked for when they are done."""
        return self._expected * self.q[self._segment, self._cell] / self._before

    def text_gains(self, strengths: np.ndarray) -> np.ndarray:
        """float64 [S, L]: see `tilt.tilt_gains`."""
        rows = self.rows
        return tilt_gains(self.prior.cells.moments, self.q, self._z(rows.item), rows.segment, rows.users, strengths)

    def choose_text(self, strengths: tuple[float, ...], evidence: float) -> Tilts:
        """A strength per segment: see `tilt.solve_tilts`."""
        rows = self.rows
        tilts = solve_tilts(self.prior.cells.moments, self.q, self._z(rows.item), rows.segment, rows.users,
                            strengths, evidence)
        self._expect(tilts)
        return tilts

    def tilt_text(self, strength: np.ndarray) -> Tilts:
        """Given strengths: see `tilt.fixed_tilts`."""
        rows = self.rows
        weight = np.ones(len(rows.item)) if rows.weight is None else rows.weight
        total = np.zeros((rows.segments, self.prior.components.shape[1]))
        for low in range(0, len(rows.item), Z_ROWS):
            segment, part = rows.segment[low:low + Z_ROWS], weight[low:low + Z_ROWS, None] * self._z(rows.item[low:low + Z_ROWS])
            first = np.flatnonzero(np.r_[True, segment[1:] != segment[:-1]])  # rows are ordered by segment
            total[segment[first]] += np.add.reduceat(part, first, axis=0)
        tilts = fixed_tilts(self.prior.cells.moments, self.q, total, np.bincount(rows.segment, weight, rows.segments),
                            strength)
        self._expect(tilts)
        return tilts

    def _expect(self, tilts: Tilts) -> None:
        """Multiply what is expected of every row by its text's tilt."""
        for low in range(0, len(self._item), Z_ROWS):
            segment = self._segment[low:low + Z_ROWS]
            logit = (self._z(self._item[low:low + Z_ROWS]) * tilts.coefficients[segment]).sum(axis=1)
            self.expected[low:low + Z_ROWS] *= np.exp(logit - tilts.log_partition[segment])

    def _z(self, items: np.ndarray) -> np.ndarray:
        return self.prior.components[self.prior.catalogue.text_of_item[items]]

    def item_gains(self, grid: list[ItemPrior], effect: np.ndarray) -> np.ndarray:
        """float64 [M, S]: see `items.item_gains`."""
        shares, found = [self.prior.item_share if share is None else share for share in self._shares], {}
        for share in shares:  # a family's members have one and the same
            if id(share) not in found:
                found[id(share)] = spectrum(share)
        spectra = np.array([found[id(share)] for share in shares])
        return item_gains(self.rows, self.unseen, self._expected, self.expected, spectra, effect, grid)

    def tilt_items(self, item_prior: ItemPrior, effect: np.ndarray) -> Values:
        """See `items.tilt_items`."""
        return tilt_items(self.rows, self.unseen, self.expected, effect, item_prior)


def stack_unseen(prior: Prior, taken: Sequence[tuple[np.ndarray, float, np.ndarray | None]], least: float) -> Rows:
    """The items of which each segment's shots should hold at least so many, and which they do not hold.

    Args:
        taken: per segment its distinct items, its shots over the design effect, and the share as of `Support`.
    """
    found, orders = [], {id(prior.item_share): prior.by_share}
    for items, shots, share in taken:
        share = prior.item_share if share is None else share
        if id(share) not in orders:  # a family's members have one and the same
            orders[id(share)] = np.argsort(-share, kind="stable")
        found.append(unseen_items(orders[id(share)], share, items, least / max(shots, 1e-12)))
    return Rows(len(found), np.repeat(np.arange(len(found)), [len(items) for items in found]),
                np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64))
