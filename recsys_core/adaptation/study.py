"""Everything one step needs to adapt and judge segments: events, members, twins, loaded once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from recsys_core.adaptation.closed_form import Prior, prepare
from recsys_core.adaptation.shots import ShotConfig, is_support_user
from recsys_core.base_model.data import Interactions, make_interactions
from recsys_core.base_model.model import BaseModelArtefact
from recsys_core.base_model.ranker import Ranker
from recsys_core.errors import DataError
from recsys_core.evaluation.windows import Window


class Study:
    """The shop's events beside a base model, for one or many segments.

    Args:
        base: the built base. interactions, segment_events: the feature tables.
        shots: decides which users give shots and which are asked.
    """

    def __init__(self, base: BaseModelArtefact, interactions: pl.DataFrame, segment_events: pl.DataFrame,
                 shots: ShotConfig) -> None:
        self.base, self.table, self.segment_events = base, interactions, segment_events
        self.events: Interactions = make_interactions(interactions, base.catalogue)
        self.support_users = is_support_user(self.events.user_ids, shots.support_users)
        self._twin: tuple[int, Ranker, Prior] | None = None

    @cached_property
    def _members(self) -> dict[str, np.ndarray]:
        row_of = pl.DataFrame({"event_id": self.table["event_id"]}).with_row_index("row")
        joined = self.segment_events.join(row_of, on="event_id", how="inner")
        if joined.height > self.segment_events.height:
            raise DataError("segment_events", "an event id occurs twice in interactions", "rebuild the features")
        return {segment: rows["row"].to_numpy() for (segment,), rows in
                joined.partition_by("segment", as_dict=True).items()}

    def member(self, segment: str) -> np.ndarray:
        """bool [E]: the events of a segment."""
        mask = np.zeros(self.table.height, bool)
        if segment in self._members:
            mask[self._members[segment]] = True
        return mask[self.events.row]

    def givers(self, segment: str, window: Window) -> np.ndarray:
        """int [n]: the user of each event that may be a shot of a window's support."""
        events = self.events
        inside = (events.timestamp >= window.support_start) & (events.timestamp < window.gate_start)
        return events.user[inside & self.member(segment) & self.support_users[events.user]]

    def twin(self, window: Window) -> tuple[Ranker, Prior]:
        """The base as it was at a window's support start (the last one asked for stays loaded)."""
        if self._twin is None or self._twin[0] != window.support_start:
            ranker = self.base.twin(window)
            self._twin = (window.support_start, ranker, self._prior(ranker))
        return self._twin[1:]

    @cached_property
    def serving(self) -> tuple[Ranker, Prior]:
        """The base that ships."""
        ranker = self.base.serving()
        return ranker, self._prior(ranker)

    def _prior(self, ranker: Ranker) -> Prior:
        return prepare(self.base.catalogue, ranker.counts.popularity, self.base.lock)

    def describe(self, rows: np.ndarray, use: str) -> pl.DataFrame:
        """The interactions behind shots, as stored beside an adapter."""
        return self.table[rows].select(pl.lit(use).alias("use"), "event_id", "user_id", "item_id", "timestamp")
