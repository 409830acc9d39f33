"""What the judged nights say of a challenger: on days that were really served, did nights like the one that built it pay?

The gate window replays the past. The asset `judged_nights` asks what served about the day after. Where that was worse than
rivals that cost nothing, the way from a build to its answers is at fault, and the challenger came the same way: a person looks.
Only nights on which the champion had counted every earlier day are compared. A stale champion loses against fresh rivals, too;
that is a reason for its challenger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.artefacts import read_json
from recsys_core.evaluation import METHOD_NAMES, NIGHTS
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.monitoring import FRESH, NIGHT_RIVALS, SERVED
from recsys_core.release.log import Outcome


class NightsConfig(BaseModel, frozen=True, extra="forbid"):
    """When judged nights count, and how much they must show."""

    needed: int = Field(14, ge=2, description="fresh nights before they count")
    newest: int = Field(56, ge=2, description="fresh nights that are compared at most: the newest")
    coverage: float = Field(0.99, gt=0.5, lt=1, description="of the interval that must lie below zero: it is asked every night")
    seed: int = 0


@dataclass(frozen=True)
class JudgedNights:
    """What they say.

    Args:
        gains: paired differences over nights by name: served minus a rival.
        held: phrases that hold a bundle which would pass.
        told: the other phrases.
    """

    gains: dict[str, Interval]
    held: tuple[str, ...]
    told: tuple[str, ...]

    def bear_on(self, outcome: Outcome, reasons: tuple[str, ...]) -> tuple[Outcome, tuple[str, ...]]:
        """A verdict's outcome and reasons with these: what would pass is held, nothing else changes."""
        if outcome == "passed" and self.held:
            outcome = "held"
        first, last = (self.held, self.told) if outcome == "held" else ((), (*self.held, *self.told))
        return outcome, (*first, *reasons, *last)


def judge_nights(folder: Path, config: NightsConfig) -> JudgedNights:
    """Compare what was served with its rivals, paired over nights; a figure that is missing or no number holds.

    Args:
        folder: of the asset `judged_nights`.
        config: how many nights are asked for.

    Raises:
        RecsysError: the rows cannot be read.
    """
    rows = [row for row in read_json(folder / NIGHTS) if row.get(FRESH)][-config.newest:]
    if len(rows) < config.needed:
        return JudgedNights({}, (), (f"{len(rows)} of {config.needed} fresh nights judged as served: not yet compared",))
    rng, gains = np.random.default_rng([config.seed, 37]), {}
    held: list[str] = []
    told: list[str] = []
    for rival in NIGHT_RIVALS:
        name, difference = METHOD_NAMES.get(rival, rival), _figures(rows, SERVED) - _figures(rows, rival)
        if not np.isfinite(difference).all():
            held.append(f"on judged nights, {SERVED} or {name} is missing or no number: the gate fails closed")
            continue
        gain = paired_bootstrap(difference, np.arange(len(rows)), rng, level=config.coverage)
        gains[f"served over {name} on judged nights"] = gain
        (held if gain.high < 0 else told).append(
            f"{'worse' if gain.high < 0 else 'not proven worse'} than {name} on {len(rows)} judged nights "
            f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]")
    return JudgedNights(gains, tuple(held), tuple(told))


def _figures(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """float64 [nights]; not a number where a night has none."""
    return np.array([row[name] if isinstance(row.get(name), int | float) else np.nan for row in rows], float)
