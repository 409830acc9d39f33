"""Who sees which variant: a hash decides, so every worker and every day gives a user the same answer.

The hash is SHA-256 of the experiment's name and the user's id, read as a number in [0, 1) and laid over the variants' shares.
Experiments are hashed with different names: what one decides says nothing about what another does, and neither moves when
others come or go. The propensity of an assignment is the variant's share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys_core.experiments.config import EXPERIMENTS_FILE, ExperimentConfig, Variant, read_experiments


@dataclass(frozen=True)
class Assignment:
    """A user's place in one experiment.

    Args:
        experiment: its configuration.
        variant: what the user sees; of an interleaved experiment, whose list goes first where a draw must decide.
        propensity: probability of this variant in (0, 1].
    """

    experiment: ExperimentConfig
    variant: Variant
    propensity: float


class Experiments:
    """The declared experiments, read once; thread-safe, read-only.

    Args:
        configs: see `read_experiments`.
    """

    def __init__(self, configs: tuple[ExperimentConfig, ...] = ()) -> None:
        self.configs = configs

    @classmethod
    def load(cls, home: Path) -> Experiments:
        """Read RECSYS_HOME/experiments.yaml; without the file there are none.

        Args:
            home: RECSYS_HOME.

        Raises:
            RecsysError: as `read_experiments` says.
        """
        return cls(read_experiments(home / EXPERIMENTS_FILE))

    def assign(self, user_id: str | None, attributes: Mapping[str, Any] | None = None, at: datetime | None = None
               ) -> tuple[Assignment, ...]:
        """Every experiment that runs and has this user in its audience, with the user's variant.

        Two of them never change the same thing (`read_experiments` refuses that), so all apply together.

        Args:
            user_id: None takes no part: nobody could tell which outcomes follow.
            attributes: of the user, and the request's context.
            at: with a zone; None: now.
        """
        if user_id is None:
            return ()
        now, known = at or datetime.now(UTC), attributes or {}
        found = (assign(one, user_id) for one in self.configs
                 if one.start <= now < one.end and _is_in_audience(one, known))
        return tuple(one for one in found if one is not None)


def assign(experiment: ExperimentConfig, user_id: str) -> Assignment | None:
    """One user's variant, whatever the time and the audience; None where the shares leave the user out.

    >>> half = [{"name": "base", "share": .5, "segment": None}, {"name": "adapted", "share": .5, "segment": "auto"}]
    >>> config = ExperimentConfig(name="adapters", variants=half, start="2024-03-01", end="2024-04-01")
    >>> [assign(config, user).variant.name for user in ("ann", "dora", "elsa")]
    ['base', 'base', 'adapted']
    """
    place, reached = unit_interval(experiment.name, user_id), 0.0
    for variant in experiment.variants:
        reached = round(reached + variant.share, 12)  # .1 ten times is 1
        if place < reached:
            return Assignment(experiment, variant, variant.share)
    return None


def unit_interval(salt: str, key: str) -> float:
    """A number in [0, 1) that a salt and a key always give, uniform over keys and independent between salts."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits fit a float exactly


def _is_in_audience(experiment: ExperimentConfig, attributes: Mapping[str, Any]) -> bool:
    return all(str(attributes.get(name)) in accepted for name, accepted in experiment.audience.items())
