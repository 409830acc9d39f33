"""Certificates of what is judged here: the base and the shots as of a window's start, asked about that window."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import polars as pl

from recsys_core.adaptation import Study
from recsys_core.evaluation.leakage import Certificate, Training, WindowRows, leakage_certificate

Asked = tuple[np.ndarray, int, int]  # bool [E], the events that may be asked; start and end of the window


class Certifier:
    """Makes certificates; holds what those of one study share.

    Args:
        order_only: the shop has positions, no times.
    """

    def __init__(self, study: Study, order_only: bool) -> None:
        self.study, self.order_only = study, order_only
        self._newest: dict[int, int] = {}

    def certify(self, name: str, windows: Mapping[str, Asked]) -> Certificate:
        """Prove that each window's base and shots are strictly earlier than its questions, and share no event with them.

        Args:
            windows: in order of time. Its base is that of the window's start; its shots are among the base's events.
        """
        events = self.study.events

        def rows(at: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            return events.row[at], None if self._session is None else self._session[at]

        asked, training = {}, {}
        for window, (may_be_asked, start, end) in windows.items():
            at = may_be_asked & (events.timestamp >= start) & (events.timestamp < end)
            asked[window] = WindowRows(events.row[at], events.timestamp[at], rows(at)[1])
            training[window] = Training(self._newest_of(start), *rows(events.timestamp < start))
        # A session that is open at midnight shares no event with its other half, so it is counted and blocks nothing.
        return leakage_certificate(name, asked, training, block_on_sessions=False, session_ids=self._session_ids,
                                   feature_dates={"text encoder": self.study.base.summary["encoder_cutoff"] - 1},
                                   order_only=self.order_only)

    def _newest_of(self, cutoff: int) -> int:
        """Time of the newest event that the base of a cut-off has counted, as it says itself."""
        if cutoff not in self._newest:
            self._newest[cutoff] = int(self.study.base_at(cutoff)[0].counts.newest)
        return self._newest[cutoff]

    @cached_property
    def _session_ids(self) -> list[str]:
        return self.study.table["session_id"].unique().drop_nulls().sort().to_list()

    @cached_property
    def _session(self) -> np.ndarray | None:
        """int [E]: each event's session, a number of its own where it has none; None in a shop without sessions."""
        ids = self._session_ids
        if not len(ids):
            return None
        numbered = pl.DataFrame({"session_id": ids}).with_row_index("number")
        found = self.study.table.select("session_id").join(numbered, on="session_id", how="left", maintain_order="left")
        number = found["number"].cast(pl.Int64).fill_null(-1).to_numpy()[self.study.events.row]
        return np.where(number < 0, -1 - np.arange(len(number)), number)
