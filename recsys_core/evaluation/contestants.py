"""What a segment's questions are answered with: its shots as of a cut-off, whoever is asked left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_core.adaptation import Offsets, Shots, Strengths, Study, count_shots, leave_own_out, solve_counts
from recsys_core.evaluation.contest import Blend
from recsys_core.evaluation.questions import Questions
from recsys_core.interactions import knot_shares

MakeBlends = Callable[[np.ndarray], dict[str, Blend]]  # known steps int [n] of some questions → their contestants


@dataclass(frozen=True)
class Adaptation:
    """How shots become offsets, and how far these are trusted: float32 [7], per knot of known steps."""

    strengths: Strengths
    trust: np.ndarray

    @classmethod
    def from_json(cls, about: Mapping) -> Adaptation:
        return cls(Strengths.from_json(about["strengths"]), np.asarray(about["trust"], np.float32))


class Contestants:
    """Everybody but the base, answering a segment's questions with the shots before a cut-off.

    Args:
        adaptation: the segment's; None where it has no adapter.
        incumbent: what serves now.
    """

    def __init__(self, study: Study, name: str, questions: Questions, cutoff: int, adaptation: Adaptation | None,
                 incumbent: Adaptation | None, rng: np.random.Generator) -> None:
        self.questions, self.shots, self.items = questions, study.shots(name, cutoff), len(study.base.catalogue)
        self._offsets: list[tuple[str, Offsets, np.ndarray]] = []

        def own_out(strengths: Strengths) -> Offsets:
            return leave_own_out(study, name, questions.queries, cutoff, strengths)

        if adaptation is not None:
            placebo = _placebo(study, name, self.shots, questions, cutoff, adaptation.strengths, rng)
            self._offsets += [("adapted", own_out(adaptation.strengths), adaptation.trust),
                              ("placebo", placebo, adaptation.trust)]
        if incumbent is not None:
            self._offsets.append(("incumbent", own_out(incumbent.strengths), incumbent.trust))

    def blends(self, rows: slice) -> MakeBlends:
        """The contestants of some of the questions, for whatever is known of their shoppers."""
        counts = np.array([self._count(row) for row in range(rows.start, rows.stop)])
        added = [(name, _stack(offsets, rows), trust) for name, offsets, trust in self._offsets]
        return lambda steps: {
            **{name: _added(offsets, trust, steps) for name, offsets, trust in added},
            "segment_popularity": lambda at, base: counts[at],
            "counting": lambda at, base: counts[at] + _tie_break(base)}

    def _count(self, row: int) -> np.ndarray:
        """float64 [N]: how often the member's shots are each item, the asker's own left out."""
        taken = _without(self.shots, self.questions.member[row], self.questions.queries.user[row])
        return np.bincount(taken, minlength=self.items).astype(np.float64)


def capped(study: Study, name: str, questions: Questions, cutoff: int, adaptation: Adaptation, sizes: Sequence[int],
           rng: np.random.Generator) -> Callable[[slice], MakeBlends]:
    """The adapter from at most so many shots per member: contestants named by the size."""
    found = {str(size): leave_own_out(study, name, questions.queries, cutoff, adaptation.strengths, k=size, rng=rng)
             for size in sizes}

    def blends(rows: slice) -> MakeBlends:
        added = {size: _stack(offsets, rows) for size, offsets in found.items()}
        return lambda steps: {size: _added(offsets, adaptation.trust, steps) for size, offsets in added.items()}

    return blends


def partners(sizes: np.ndarray) -> np.ndarray:
    """int64 [members]: another member with about as many shots, whose adapter is a member's placebo.

    >>> partners(np.array([50, 3, 60, 4])).tolist()
    [2, 3, 0, 0]
    """
    order = np.argsort(sizes, kind="stable")
    found = np.empty(len(order), np.int64)
    found[order] = np.r_[order[1:], order[-2]]
    return found


def _placebo(study: Study, name: str, shots: Shots, questions: Questions, cutoff: int, strengths: Strengths,
             rng: np.random.Generator) -> Offsets:
    """What the shots of a partner, or as many from outside a plain segment, say to each question, the asker's own left out."""
    if len(shots.bounds) > 2:
        return leave_own_out(study, name, questions.queries, cutoff, strengths, members=partners(shots.sizes())[questions.member])
    prior, outside = study.prior_of(name, cutoff), _outside(study, name, len(shots), cutoff, rng)
    users, row = np.unique(questions.queries.user, return_inverse=True)
    share, others = study.share(name, prior), [outside.users != user for user in users]
    counted = (count_shots(outside.items[kept], outside.users[kept], share) for kept in others)
    return Offsets(prior.catalogue, row, solve_counts(prior, counted, strengths))


def _outside(study: Study, name: str, size: int, cutoff: int, rng: np.random.Generator) -> Shots:
    """So many random events from outside a segment before a cut-off.

    A scene that takes in everything leaves nothing outside in its own days: then they come from before it.
    """
    events, window = study.events, study.window(name)
    free = (study.codes(name)[0] < 0) & (events.timestamp < cutoff)
    pool = np.flatnonzero(free & (events.timestamp >= (window.shots_start if window else 0)))
    pool = pool if len(pool) >= size else np.flatnonzero(free)
    drawn = rng.choice(pool, min(size, len(pool)), replace=False)
    return Shots(events.item[drawn], events.user[drawn], np.array([0, len(drawn)]))


def _without(shots: Shots, member: int, user: int) -> np.ndarray:
    """int32 [K]: the items of a member's shots without a user's own."""
    own = slice(shots.bounds[member], shots.bounds[member + 1])
    return shots.items[own][shots.users[own] != user]


def _stack(offsets: Offsets, rows: slice) -> np.ndarray:
    """float32 [n, N]: the offsets of some questions."""
    return np.array([offsets[row] for row in range(rows.start, rows.stop)])


def _added(offsets: np.ndarray, trust: np.ndarray, steps: np.ndarray) -> Blend:
    """The base with offsets [n, N], as far as they are trusted at so many known steps."""
    weight = (knot_shares(steps) @ trust)[:, None]
    return lambda rows, base: base + weight[rows] * offsets[rows]


def _tie_break(base: np.ndarray) -> np.ndarray:
    """float64 [n, N] in [0, 1): the base's order, which gives way to any count."""
    low, high = base.min(axis=1, keepdims=True).astype(np.float64), base.max(axis=1, keepdims=True)
    return (base - low) / (1.001 * np.maximum(high - low, 1e-9))
