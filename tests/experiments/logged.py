"""Logs as the service writes them, of users whose habits are planted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.experiments.assignment import assign
from recsys_core.experiments.config import ExperimentConfig

DECLARED = """experiments:
  - name: adapters
    start: 2024-03-01
    end: 2024-03-15
    variants:
      - {name: base, share: 0.5, segment: null}
      - {name: adapted, share: 0.5, segment: auto}
"""


def write_logs(folder: Path, experiment: ExperimentConfig, users: int, rate: Callable[[str], float], *, seed: int = 0,
               before: float = 0.0) -> None:
    """One exposure of three items per user, and a click on one of them with the chance `rate(variant)` an hour later.

    Args:
        before: chance of a click a day before the exposure, too.
    """
    rng, shown, done = np.random.default_rng(seed), [], []
    for n in range(users):
        found = assign(experiment, f"u{n}")
        if found is None:
            continue
        at = experiment.start + timedelta(minutes=float(rng.random() * 10 * 24 * 60))
        items = [{"item_id": f"i{place}", "position": place, "propensity": 1.0, "score": 1.0} for place in (1, 2, 3)]
        shown.append({"timestamp": at.isoformat(), "request_id": f"r{n}", "user_id": f"u{n}", "experiment": experiment.name,
                      "variant": found.variant.name, "propensity": found.propensity, "items": items, "fallback": None})
        if rng.random() < rate(found.variant.name):
            done.append(event(f"u{n}", at + timedelta(hours=1), f"i{rng.integers(1, 4)}"))
        if rng.random() < before:
            done.append(event(f"u{n}", at - timedelta(days=1), "i9"))
    # A later visitor of no experiment says how far the logs reach.
    done.append(event("stranger", experiment.end, "i1"))
    append(folder / "exposures" / "2024-03-01.jsonl", shown)
    append(folder / "events" / "2024-03-01.jsonl", done)


def event(user: str, at: datetime, item: str, kind: str = "click", **fields: Any) -> dict[str, Any]:
    """One event's row."""
    return {"event_id": f"{user}-{item}-{at.isoformat()}", "user_id": user, "timestamp": at.isoformat(), "event_type": kind,
            "item_id": item, "source": "service", **fields}


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows behind those that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
