"""The offsets of many segments side by side, as the solver leaves them: arrays, one run of entries per segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys_core.adaptation.adapter import Adapter
from recsys_core.interactions import Catalogue

# (segments, segment of each entry ascending, entry, value)
Part = tuple[int, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ragged:
    """Some entries with a value per segment: segment s has entry[indptr[s]:indptr[s+1]].

    Args:
        indptr: int64 [S+1].
        entry: int32 [n], rows of a list of names.
        value: float32 [n].
    """

    indptr: np.ndarray
    entry: np.ndarray
    value: np.ndarray

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> Ragged:
        """Join parts, one after the other."""
        counts = [np.bincount(segment, minlength=segments) for segments, segment, _, _ in parts]
        return cls(np.r_[0, np.cumsum(np.concatenate([np.zeros(0, np.int64), *counts]))].astype(np.int64),
                   np.concatenate([np.zeros(0, np.int32), *(part[2] for part in parts)]).astype(np.int32),
                   np.concatenate([np.zeros(0, np.float32), *(part[3] for part in parts)]).astype(np.float32))

    def of(self, segment: int) -> tuple[np.ndarray, np.ndarray]:
        """The entries and the values of one segment."""
        own = slice(self.indptr[segment], self.indptr[segment + 1])
        return self.entry[own], self.value[own]

    def renumbered(self, names: Sequence[str]) -> tuple[Ragged, list[str]]:
        """The same with only the names that occur."""
        used, entry = np.unique(self.entry, return_inverse=True)
        return replace(self, entry=entry.astype(np.int32)), [names[row] for row in used.tolist()]


@dataclass(frozen=True)
class Level:
    """One level of groups: every group without a value of its own has `rest`, float32 [S]."""

    name: str
    labels: Sequence[str]
    rest: np.ndarray
    values: Ragged


@dataclass(frozen=True)
class Solved:
    """S segments.

    Args:
        levels: those that say something.
        theta: float32 [S, d], or [0, d] where no text is tilted.
        item_ids: what the entries of `items` are.
        shots: int64 [S].
    """

    levels: tuple[Level, ...]
    theta: np.ndarray
    item_ids: Sequence[str]
    items: Ragged
    shots: np.ndarray

    def __len__(self) -> int:
        return len(self.shots)

    def offsets(self, segment: int, catalogue: Catalogue) -> np.ndarray:
        """float32 [N]: as `Adapter.offsets`, on the catalogue it was solved on (not after `compact`)."""
        total = np.zeros(len(catalogue), np.float32)
        if len(self.theta):
            total += (catalogue.vectors @ self.theta[segment])[catalogue.text_of_item]
        codes_of = {name: codes for name, codes, _ in catalogue.groups}
        for level in self.levels:
            table = np.full(len(level.labels) + 1, level.rest[segment], np.float32)
            table[-1] = 0.0  # what code −1 reads
            entries, values = level.values.of(segment)
            table[entries] = values
            total += table[codes_of[level.name]]
        entries, values = self.items.of(segment)
        total[entries] += values
        return total

    def adapter(self, segment: int, name: str, method: str, lock: dict[str, str], trust: np.ndarray, settings: dict) -> Adapter:
        """One segment's adapter."""
        groups: dict[str, float] = {}
        for level in self.levels:
            groups[level.name] = float(level.rest[segment])
            entries, values = level.values.of(segment)
            groups |= {f"{level.name}|{level.labels[code]}": value
                       for code, value in zip(entries.tolist(), values.tolist(), strict=True)}
        entries, values = self.items.of(segment)
        theta = self.theta[segment] if len(self.theta) else np.zeros(self.theta.shape[1], np.float32)
        return Adapter(name, method, dict(lock), theta, groups=groups, item_values=values, trust=trust, settings=settings,
                       item_ids=tuple([self.item_ids[row] for row in entries.tolist()]))

    def compact(self) -> Solved:
        """The same without the names that no entry uses: what is stored."""
        levels = []
        for level in self.levels:
            values, labels = level.values.renumbered(level.labels)
            levels.append(replace(level, values=values, labels=labels))
        items, item_ids = self.items.renumbered(self.item_ids)
        return replace(self, levels=tuple(levels), items=items, item_ids=item_ids)
