"""Experiments that are looked at after every user: how often the report is wrong without an effect, how often right with one.

Nothing here is a shop's: outcomes are drawn from shapes that shops have, users are assigned by `Experiments.assign`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.record import Bar
from recsys_core.experiments import Experiments, SequentialConfig, interleave, sequential_difference, sequential_sign

REPEATS, USERS = 500, 5_000
LIFT = 1.25  # of the chance of an outcome, in the A/B experiments
NOW = datetime(2024, 3, 2, tzinfo=UTC)
Shape = Callable[[np.random.Generator, np.ndarray], np.ndarray]  # rng, lift per user → outcome per user
SHAPES: dict[str, Shape] = {
    "clicks, 30 of 100 users": lambda rng, lift: (rng.random(len(lift)) < 0.3 * lift).astype(float),
    "clicks per user, over-dispersed": lambda rng, lift: rng.poisson(rng.gamma(0.5, 2.0, len(lift)) * lift).astype(float),
    "purchases, 2 of 100 users": lambda rng, lift: (rng.random(len(lift)) < 0.02 * lift).astype(float),
    "money, 5 of 100 users, log-normal": lambda rng, lift: (rng.random(len(lift)) < 0.05 * lift) * np.exp(
        rng.normal(3.0, 1.2, len(lift))),
}
SHARES = (0.5, 0.1)


def measure(bundle: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Simulate, about two minutes; no bundle is asked."""
    found = run()
    return bars(found), tables(found)


def run() -> dict[str, Any]:
    """False and true discoveries of every shape."""
    assigned = {share: _assigned(share) for share in SHARES}
    rows = [_compare(shape, share, treated) for shape in SHAPES for share, treated in assigned.items()]
    return {"rows": rows, "interleaving": [_interleave(taste) for taste in (0.5, 0.65)]}


def bars(found: dict[str, Any]) -> list[Bar]:
    """The worst shape decides."""
    worst = max((row for row in found["rows"]), key=lambda row: row["wrong_sequential"])
    voted = found["interleaving"][0]["decided"]
    rate = max(worst["wrong_sequential"], voted)
    return [Bar("experiment.false_positive_rate", rate, "<=", 0.05, n=REPEATS,
                note=f"A/A, looked at after every one of {USERS:,} users; the worst of {len(found['rows'])} shapes and "
                     f"interleaving ({worst['shape']}, share {worst['share']:g})")]


def tables(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """False and true discoveries, beside a t-test that is looked at every 100 users."""
    return {"Experiments looked at after every user": found["rows"],
            "Interleaving looked at after every user": found["interleaving"]}


def _compare(shape: str, share: float, assigned: np.ndarray) -> dict[str, Any]:
    """One shape's experiments; assigned: bool [repeats, users], who is in the second variant."""
    wrong = naive = found = planned = 0
    users_needed = []
    for seed, treated in enumerate(assigned):
        rng = np.random.default_rng([seed, 5])
        outcome = SHAPES[shape](rng, np.ones(USERS))
        wrong += _p(outcome, treated, share) <= 0.05
        naive += _peeking_t_test(outcome, treated)
        lifted = SHAPES[shape](rng, np.where(treated, LIFT, 1.0))
        p = _p(lifted, treated, share)
        found += p <= 0.05
        if p <= 0.05:
            users_needed.append(_first_decision(lifted, treated, share))
        planned += _t(lifted[treated], lifted[~treated]) > 1.96
    return {"shape": shape, "share": share, "wrong_sequential": wrong / REPEATS, "wrong_peeking_t_test": naive / REPEATS,
            "found_sequential": found / REPEATS, "found_by_one_planned_look": planned / REPEATS,
            "median_users_until_found": int(np.median(users_needed)) if users_needed else None}


def _assigned(share: float) -> np.ndarray:
    """bool [repeats, users]: as many experiments as there are repeats, declared in one file, all asked for every user."""
    variants = [{"name": "a", "share": 1 - share}, {"name": "b", "share": share}]
    declared = [{"name": f"aa-{n}", "start": "2024-03-01", "end": "2024-04-01", "variants": variants} for n in range(REPEATS)]
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "experiments.yaml").write_text(yaml.safe_dump({"experiments": declared}))
        experiments = Experiments.load(Path(home))
    return np.array([[one.variant.name == "b" for one in experiments.assign(f"u{n}", at=NOW)] for n in range(USERS)]).T


def _p(outcome: np.ndarray, treated: np.ndarray, share: float) -> float:
    return sequential_difference(outcome, treated, np.zeros(len(outcome)), share, SequentialConfig()).p_value


def _first_decision(outcome: np.ndarray, treated: np.ndarray, share: float) -> int:
    """The least number of users at which the report decides; more users never undo it."""
    low, high = 1, len(outcome)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _p(outcome[:middle], treated[:middle], share) <= 0.05 else (middle + 1, high)
    return low


def _t(a: np.ndarray, b: np.ndarray) -> float:
    spread = a.var() / max(len(a), 1) + b.var() / max(len(b), 1)
    return float(abs(a.mean() - b.mean()) / np.sqrt(spread)) if spread > 0 else 0.0


def _peeking_t_test(outcome: np.ndarray, treated: np.ndarray) -> bool:
    return any(_t(outcome[:n][treated[:n]], outcome[:n][~treated[:n]]) > 1.96 for n in range(500, USERS + 1, 100))


def _interleave(taste: float) -> dict[str, Any]:
    """Lists that share most items; a click takes an item that only the second list has with the chance `taste`."""
    decided = 0
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, 7])
        wins = np.zeros(1_000)
        for user in range(len(wins)):
            drawn = interleave(["both", "old", "other"], ["both", "new", "other"], 3, rng)
            item = rng.choice(["both", "new" if rng.random() < taste else "old"])
            wins[user] = 0 if item not in drawn.item_ids else 1 if drawn.teams[drawn.item_ids.index(item)] == "b" else -1
        decided += sequential_sign(wins, SequentialConfig()).p_value <= 0.05
    return {"prefer_b": taste, "users": len(wins), "decided": decided / REPEATS}
