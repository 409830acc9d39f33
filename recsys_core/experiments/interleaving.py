"""Team-draft interleaving: both variants fill one list in turns, and each click is a vote for the one that picked the item.

Every shopper compares the two lists side by side, so a preference shows with a fraction of the users that an A/B test needs
(Radlinski, Kurup & Joachims 2008, "How does clickthrough data reflect retrieval quality?"). It says which list is liked
better, not what that earns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Team = Literal["a", "b"]


@dataclass(frozen=True)
class Interleaved:
    """A drawn list.

    Args:
        item_ids: best first.
        teams: whose pick each item is, "a" or "b".
        propensities: probability in (0, 1] that the draw puts this item at this place, over all draws of these two lists.
    """

    item_ids: tuple[str, ...]
    teams: tuple[Team, ...]
    propensities: tuple[float, ...]


def interleave(list_a: Sequence[str], list_b: Sequence[str], k: int, rng: np.random.Generator) -> Interleaved:
    """Draw one list from two: in each round a fair coin says who picks first, then each picks its best item that is left.

    Args:
        list_a: item ids without repeats, best first.
        list_b: the same of the other variant.
        k: the most items of the drawn list.
        rng: tosses the coins; one seeded by the request makes the draw repeatable.

    >>> interleave(["x", "y"], ["x", "z"], 3, np.random.default_rng(0)).propensities[0]  # x is first whoever picks
    1.0
    """
    taken: list[str] = []
    teams: list[Team] = []
    while len(taken) < k:
        order: tuple[Team, Team] = ("a", "b") if rng.random() < 0.5 else ("b", "a")
        picked = _round(list_a, list_b, frozenset(taken), order)
        if not picked:
            break
        for team, item in picked[:k - len(taken)]:
            taken.append(item)
            teams.append(team)
    odds = _propensities(list_a, list_b, len(taken))
    return Interleaved(tuple(taken), tuple(teams), tuple(odds[place, item] for place, item in enumerate(taken)))


def _round(list_a: Sequence[str], list_b: Sequence[str], taken: frozenset[str], order: tuple[Team, Team]
           ) -> list[tuple[Team, str]]:
    """What both pick; a team whose list is used up passes."""
    picked: list[tuple[Team, str]] = []
    for team in order:
        wanted = list_a if team == "a" else list_b
        item = next((one for one in wanted if one not in taken), None)
        if item is not None:
            picked.append((team, item))
            taken = taken | {item}
    return picked


def _propensities(list_a: Sequence[str], list_b: Sequence[str], k: int) -> dict[tuple[int, str], float]:
    """Probability of each (place, item) of the first k places.

    What is taken after a round is the top of `a` and the top of `b`, so only a few states per round are possible.
    """
    odds: dict[tuple[int, str], float] = {}
    states: dict[frozenset[str], float] = {frozenset(): 1.0}
    while states:
        following: dict[frozenset[str], float] = {}
        for taken, chance in states.items():
            for order in (("a", "b"), ("b", "a")):
                picked = _round(list_a, list_b, taken, order)
                for place, (_, item) in enumerate(picked, len(taken)):
                    odds[place, item] = odds.get((place, item), 0.0) + chance / 2
                after = taken.union(item for _, item in picked)
                if picked and len(after) < k:
                    following[after] = following.get(after, 0.0) + chance / 2
        states = following
    return odds
