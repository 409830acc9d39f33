"""Which variants of the running experiments answer a request, and what the exposure log says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.experiments import Assignment, Experiments, interleave
from recsys_core.serving import Bundle, Recommendations

if TYPE_CHECKING:
    from recsys_core.answering import BoundRules, Rules
    from recsys_core.experiments.config import Variant


@dataclass(frozen=True)
class Treatment:
    """How a request is answered.

    Args:
        bundle: by which bundle.
        changes: arguments that a variant sets in the request's place.
        rules: business rules, looked up in the bundle.
    """

    bundle: Bundle
    changes: Mapping[str, Any]
    rules: BoundRules | None


@dataclass(frozen=True)
class Listed:
    """An answered list.

    Args:
        answers: best first.
        assigned: the experiments that it belongs to.
        teams: of an interleaved list, whose pick each item is.
        propensities: in (0, 1], of each item at its place. A list that nobody drew is a function of its request: 1.
    """

    answers: Recommendations
    assigned: tuple[Assignment, ...] = ()
    teams: tuple[str, ...] | None = None
    propensities: tuple[float, ...] | None = None

    @property
    def variant(self) -> str | None:
        """What the answer says: experiment:variant, with commas between."""
        return ",".join(f"{one.experiment.name}:{_name(one)}" for one in self.assigned) or None

    def exposures(self) -> list[dict[str, Any]]:
        """Rows for the log, one per experiment, or one without: items as they were shown, and the variant's propensity."""
        shown: list[dict[str, Any]] = [
            {"item_id": one.item_id, "position": at + 1, "score": one.score,
             "propensity": self.propensities[at] if self.propensities else 1.0,
             **({"team": self.teams[at]} if self.teams else {})}
            for at, one in enumerate(self.answers)]
        of = [{"experiment": one.experiment.name, "variant": one.variant.name, "propensity": one.propensity}
              for one in self.assigned]
        return [{**row, "segment": self.answers[0].segment, "items": shown} for row in of or [{}]]


class Treatments:
    """The declared experiments and the bundles that they compare.

    Args:
        experiments: declared ones.
        bundle: that answers where no variant names another.
        others: bundles that variants name, by the path they name.
        rules: business rules of all lists.

    Raises:
        RequestError: a rule over a column that the items of a bundle do not have.
    """

    def __init__(self, experiments: Experiments, bundle: Bundle, others: Mapping[Path, Bundle], rules: Rules | None = None
                 ) -> None:
        self.experiments, self.bundle, self.others = experiments, bundle, others
        self._rules = {} if rules is None else {id(one): one.bind_rules(rules) for one in (bundle, *others.values())}

    def answer(self, user_id: str | None, attributes: Mapping[str, Any], k: int, request_id: str,
               ask: Callable[[Treatment], Recommendations]) -> Listed:
        """Ask for the list, as often as the user's experiments need it.

        Args:
            user_id: None takes part in no experiment.
            attributes: of the user, and the context.
            k: the most items.
            request_id: seeds the draw of an interleaved list.
            ask: a list under a treatment.
        """
        assigned = self.experiments.assign(user_id, attributes)
        drawn = [one for one in assigned if one.experiment.method == "interleave"]
        compared = tuple(one for one in assigned if one not in drawn[1:])  # a list is drawn from two lists, not from four
        alike = [one.variant for one in compared if one not in drawn]
        if not drawn:
            return Listed(ask(self._treatment(alike)), compared)
        first, second = (ask(self._treatment([*alike, variant])) for variant in drawn[0].experiment.variants)
        seed = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big")
        mixed = interleave([one.item_id for one in first], [one.item_id for one in second], k, np.random.default_rng(seed))
        of_team = {"a": {one.item_id: one for one in first}, "b": {one.item_id: one for one in second}}
        answers = Recommendations([of_team[team][item] for item, team in zip(mixed.item_ids, mixed.teams, strict=True)],
                                  first.fallback or second.fallback)
        return Listed(answers, compared, mixed.teams, mixed.propensities)

    def _treatment(self, variants: Sequence[Variant]) -> Treatment:
        """What variants of experiments that change different things make together."""
        bundle, changes = self.bundle, {}
        for variant in variants:
            if variant.bundle is not None:
                bundle = self.others[variant.bundle]
            if "segment" in variant.changes:
                changes["segment"] = variant.segment
        return Treatment(bundle, changes, self._rules.get(id(bundle)))


def _name(assigned: Assignment) -> str:
    return "interleaved" if assigned.experiment.method == "interleave" else assigned.variant.name
