"""Everything one step needs to adapt and judge segments and families: events, members, bases, loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.adaptation.closed_form import Prior, prepare
from recsys_core.base_model import BaseModelArtefact, Ranker
from recsys_core.errors import DataError
from recsys_core.features import candidate_items, family_values
from recsys_core.ingestion import FamilySpec, SegmentSpec
from recsys_core.interactions import Interactions, Queries, Window, make_interactions, make_queries

PLAIN = [""]  # the members of a segment that is no family
KEPT_BASES = 2  # bases that stay loaded: the questions of two cut-offs are asked in turns


@dataclass(frozen=True)
class Shots:
    """K shots, sorted by member: items, users int32 [K]; bounds int64 [members + 1], where each member's lie."""

    items: np.ndarray
    users: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def sizes(self) -> np.ndarray:
        """int64 [members]: how many shots each has."""
        return np.diff(self.bounds)

    def shoppers(self) -> np.ndarray:
        """int64 [members]: how many distinct shoppers gave each one's."""
        member = np.repeat(np.arange(len(self.bounds) - 1), self.sizes())
        pairs = np.unique(np.stack([member, self.users.astype(np.int64)]), axis=1)
        return np.bincount(pairs[0], minlength=len(self.bounds) - 1)

    def of_enough(self, shoppers: int) -> Shots:
        """The shots of the members that have those of so many distinct shoppers."""
        enough = self.shoppers() >= shoppers
        if enough.all():
            return self
        kept, sizes = np.repeat(enough, self.sizes()), np.where(enough, self.sizes(), 0)
        return Shots(self.items[kept], self.users[kept], np.r_[0, np.cumsum(sizes)].astype(np.int64))


class Study:
    """The shop's events beside a base model, for any number of segments and families.

    Args:
        base: the built base.
        interactions: the feature table.
        segment_events: the feature table.
        specs: the shop's segments.
        families: the shop's families.
        users: the shop's shoppers with their columns; None where it has no such table.
        least_users: distinct shoppers without whom a member's shots do not count.
    """

    def __init__(self, base: BaseModelArtefact, interactions: pl.DataFrame, segment_events: pl.DataFrame,
                 specs: Sequence[SegmentSpec], families: Sequence[FamilySpec] = (),
                 users: pl.DataFrame | None = None, least_users: int = 1) -> None:
        self.base, self.table, self.segment_events, self.users = base, interactions, segment_events, users
        self.least_users = least_users
        every: list[SegmentSpec | FamilySpec] = [*specs, *families]
        self.specs = {spec.name: spec for spec in every}
        self.events: Interactions = make_interactions(interactions, base.catalogue)
        self._bases: dict[int, tuple[Ranker, Prior]] = {}
        self._codes: dict[str, tuple[np.ndarray, list[str]]] = {}

    def window(self, name: str) -> Window | None:
        """The windows of a segment or family; None where it cannot be judged."""
        return self.base.plan.get(name)

    def by(self, name: str) -> str:
        """What tells a family's members apart; empty for a segment."""
        spec = self.spec(name)
        return spec.by if isinstance(spec, FamilySpec) else ""

    def kind(self, name: str) -> str:
        """The segment's kind, or "family"."""
        spec = self.spec(name)
        return "family" if isinstance(spec, FamilySpec) else spec.kind

    def spec(self, name: str) -> SegmentSpec | FamilySpec:
        """What the shop says of a segment or family.

        Raises:
            DataError: neither a segment nor a family has this name.
        """
        if name not in self.specs:
            raise DataError(f"segment {name!r}", "neither a segment nor a family has this name", "correct shop.yaml")
        return self.specs[name]

    def codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """The member that every event belongs to, int32 [E], −1 for none, and the members' values, sorted.

        Raises:
            DataError: neither a segment nor a family has this name.
        """
        if name not in self._codes:
            spec = self.spec(name)
            if isinstance(spec, FamilySpec):
                values = family_values(spec, self.table, self.users)
                members = values.drop_nulls().unique().sort().to_list()
                numbers = values.replace_strict(members, range(len(members)), default=-1, return_dtype=pl.Int32)
                self._codes[name] = numbers.to_numpy()[self.events.row], members
            else:
                self._codes[name] = self._of_segment(name), PLAIN
        return self._codes[name]

    def _of_segment(self, name: str) -> np.ndarray:
        codes = np.full(self.table.height, -1, np.int32)
        codes[self._rows_of.get(name, np.zeros(0, np.int64))] = 0
        return codes[self.events.row]

    @cached_property
    def _rows_of(self) -> dict[str, np.ndarray]:
        row_of = pl.DataFrame({"event_id": self.table["event_id"]}).with_row_index("row")
        joined = self.segment_events.join(row_of, on="event_id", how="inner")
        if joined.height > self.segment_events.height:
            raise DataError("segment_events", "an event id occurs twice in interactions", "rebuild the features")
        return {segment: rows["row"].to_numpy() for (segment,), rows in
                joined.partition_by("segment", as_dict=True).items()}

    def candidates(self, name: str) -> np.ndarray | None:
        """bool [N]: the items that its requests may be answered with; None for the whole catalogue."""
        return self._candidates.get(name)

    @cached_property
    def _candidates(self) -> dict[str, np.ndarray]:
        return candidate_items(self.base.catalogue.items, [spec for spec in self.specs.values() if isinstance(spec, SegmentSpec)])

    def share(self, name: str, prior: Prior) -> np.ndarray | None:
        """float64 [N]: the base's popularity among the candidates, > 0; None where these are the whole catalogue."""
        candidates = self.candidates(name)
        if candidates is None or not candidates.any():
            return None
        share = np.where(candidates, prior.item_share, 1e-12)
        return share / share.sum()

    def shots(self, name: str, cutoff: int) -> Shots:
        """The events before a cut-off (for a scene: from its first day on) of every member with enough shoppers."""
        return self.all_shots(name, cutoff).of_enough(self.least_users)

    def all_shots(self, name: str, cutoff: int) -> Shots:
        """The same of every member."""
        codes, members = self.codes(name)
        window, time = self.window(name), self.events.timestamp
        kept = np.flatnonzero((codes >= 0) & (time >= (window.shots_start if window else 0)) & (time < cutoff))
        order = kept[np.argsort(codes[kept], kind="stable")]
        bounds = np.searchsorted(codes[order], np.arange(len(members) + 1)).astype(np.int64)
        return Shots(self.events.item[order], self.events.user[order], bounds)

    def questions(self, name: str, start: int, end: int, most: int, rng: np.random.Generator) -> Queries:
        """At most `most` steps of [start, end) with an event of the segment, each asked for its items of the segment."""
        target, candidates = self.codes(name)[0] >= 0, self.candidates(name)
        if candidates is not None:
            target &= candidates[self.events.item]
        return make_queries(self.events, start, end, target=target, max_queries=most, rng=rng)

    def asked(self, name: str, queries: Queries) -> np.ndarray:
        """int32 [n]: the member that each question belongs to (of several in one step, the first), −1 for none."""
        codes = self.codes(name)[0]
        low, high = self._steps(queries)
        found = np.full(len(queries), -1, np.int32)
        for row, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            own = codes[a:b]
            if (own >= 0).any():
                found[row] = own[own >= 0][0]
        return found

    def contexts(self, queries: Queries) -> pl.Series:
        """String [n]: the JSON object text of each asked step's context (of its first event), null where it has none."""
        low, _ = self._steps(queries)
        return self.table["context"].gather(self.events.row[low])

    def _steps(self, queries: Queries) -> tuple[np.ndarray, np.ndarray]:
        """Where the events of each asked step lie, [low, high)."""
        events = self.events
        first = int(events.timestamp.min()) if len(events) else 0
        span = int(events.timestamp.max()) - first + 1 if len(events) else 1
        key = events.user.astype(np.int64) * span + (events.timestamp - first)  # events are sorted by user and time
        asked = queries.user.astype(np.int64) * span + (queries.timestamp - first)
        return np.searchsorted(key, asked, side="left"), np.searchsorted(key, asked, side="right")

    def base_at(self, cutoff: int) -> tuple[Ranker, Prior]:
        """The base as it was at a cut-off (the last two asked for stay loaded)."""
        if cutoff not in self._bases:
            while len(self._bases) >= KEPT_BASES:
                self._bases.pop(next(iter(self._bases)))
            ranker = self.base.ranker(cutoff)
            self._bases[cutoff] = ranker, self._prior(ranker)
        return self._bases[cutoff]

    @cached_property
    def serving(self) -> tuple[Ranker, Prior]:
        """The base that ships."""
        ranker = self.base.serving()
        return ranker, self._prior(ranker)

    def prior_of(self, name: str, cutoff: int) -> Prior:
        """The base that counts up to a cut-off are compared with: from the end of the report on, what ships."""
        window = self.window(name)
        served = window is None or cutoff >= window.report_end
        return (self.serving if served else self.base_at(cutoff))[1]

    def _prior(self, ranker: Ranker) -> Prior:
        return prepare(self.base.catalogue, ranker.counts.popularity, self.base.lock)


class PublishedStudy(Study):
    """A study of what was published. It pickles as the paths that it was read from, so that a worker reads them itself.

    Args:
        base_model: folder of the built base.
        interactions: the feature table; a scan of its files.
        segment_events: the feature table; a scan of its files.
        specs: the shop's segments.
        families: the shop's families.
        users: the shop's shoppers, a scan; a table of ids alone counts as none.
        least_users: see `Study`.
    """

    def __init__(self, base_model: Path, interactions: pl.LazyFrame, segment_events: pl.LazyFrame, specs: Sequence[SegmentSpec],
                 families: Sequence[FamilySpec], users: pl.LazyFrame, least_users: int = 1) -> None:
        self._read_from = base_model, interactions, segment_events, specs, families, users, least_users
        known = users.collect()
        super().__init__(BaseModelArtefact(base_model), interactions.collect(), segment_events.collect(), specs, families,
                         known if known.width > 1 else None, least_users)

    def __reduce__(self) -> tuple[Any, ...]:
        return PublishedStudy, self._read_from
