"""Tables of consecutive drops, computed and not written: by this process, or by a worker that reads the same paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_core.features.ledger import Drop
from recsys_core.features.partials import Batch, private_database
from recsys_core.features.totals import Totals

if TYPE_CHECKING:
    from recsys_core.features.store import FeatureConfig, Inputs


@dataclass
class Making:
    """What computing a span of drops needs, whichever span it is.

    Args:
        drops: every clean day file, in order.
        joined: whether sessions go on from each drop into the next.
        outcome: the event type that counts as success of an impression.
        opening: the shop's first local day, ISO.
        inputs: items, users and segments.
        users: of these inputs; without rows where there are none.
        config: memory and threads.
        totals: of the drops before a span; those that it asks for must be there.
        spill: where DuckDB spills; None: the temporary folder, which a worker takes.
    """

    drops: list[Drop]
    joined: list[bool]
    outcome: str
    opening: str
    inputs: Inputs
    users: pl.DataFrame
    config: FeatureConfig
    totals: Totals
    spill: Path | None
    _loaded: tuple[range, Batch] | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "spill": None, "_loaded": None}

    def count_totals(self, span: range) -> pl.DataFrame:
        """What the drops of a span add to the totals: `TOTALS` and _file. Their events stay loaded for `make_tables`."""
        self._loaded = span, self._load(span)
        return self._loaded[1].totals()

    def make_tables(self, asked: tuple[range, Sequence[str]]) -> dict[str, pl.DataFrame]:
        """Some feature tables of a span, each with _file."""
        span, tables = asked
        if not tables:
            return {}
        batch = self._loaded[1] if self._loaded and self._loaded[0] == span else self._load(span)
        self._loaded = None
        inputs, config = self.inputs, self.config
        with ExitStack() as stack:
            database = cache(lambda: stack.enter_context(private_database(self.spill, config)))  # opened if it is asked for
            makers: dict[str, Callable[[], pl.DataFrame]] = {
                "item_features": batch.item_features, "interactions": lambda: batch.interactions(inputs.items),
                "exposures": lambda: batch.exposures(self.totals),
                "segment_events": lambda: batch.segment_events(database, inputs.segments, inputs.items, self.users,
                                                               inputs.context, config, self.opening, self.totals)}
            return {table: makers[table]() for table in tables}

    def _load(self, span: range) -> Batch:
        last = len(self.drops) - 1
        crossing = span[0] > 0 and self.joined[span[0] - 1], span[-1] < last and self.joined[span[-1]]
        return Batch(self.drops, span, self.outcome, crossing)
