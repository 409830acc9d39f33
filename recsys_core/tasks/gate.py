"""Does adapting to a task pay? Cross-validated against the trivial rivals, on texts (queries) that no fold learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.errors import AdapterError
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.tasks.kinds import KINDS, TaskKind
from recsys_core.tasks.labels import Example, Task

if TYPE_CHECKING:
    from recsys_core.tasks.classes import ReadsTexts


class TaskGateConfig(BaseModel, frozen=True, extra="forbid"):
    """How a task is proven."""

    folds: int = Field(5, ge=2, description="parts of the examples, each answered by what the others taught")
    most: int = Field(2000, ge=10, description="texts (queries) that take part; more are drawn from")
    level: float = Field(0.95, gt=0, lt=1, description="of the interval that must lie above zero")
    seed: int = 0


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Args:
        proven: whether the task ships.
        reason: in words.
        score: the adapter's mean.
        rivals: theirs.
        gains: adapter minus rival, by rival.
        groups: texts (queries) that were answered.
    """

    proven: bool
    reason: str
    score: float | None = None
    rivals: dict[str, float] = field(default_factory=dict)
    gains: dict[str, Interval] = field(default_factory=dict)
    groups: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"proven": self.proven, "reason": self.reason, "score": self.score, "rivals": self.rivals, "groups": self.groups,
                "gains": {name: gain.to_json() for name, gain in self.gains.items()}}


class RemembersTexts:
    """An encoder that reads each text once: folds read the same texts again and again. Everything else is the encoder's.

    Args:
        encoder: whose vectors they are.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._known: dict[str, np.ndarray] = {}

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The encoder's."""
        found: dict[str, Any] = self._encoder.fingerprint
        return found

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d], as the encoder's."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new or not texts:
            vectors = self._encoder.encode(new)
            self._known.update(zip(new, vectors, strict=True))
            if not texts:
                return vectors
        return np.stack([self._known[text] for text in texts])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def judge_task(encoder: ReadsTexts, task: Task, config: TaskGateConfig) -> Verdict:
    """Prove a task by cross-validation over its training examples; a task that cannot be proven is refused with the reason.

    Args:
        encoder: as serving reads texts.
        task: its test examples take no part.
        config: what it must show.
    """
    kind, rng = KINDS[task.kind], np.random.default_rng([config.seed, 29])
    folds = _folds(task.train, config, rng)
    if len(folds) < 2:
        return Verdict(False, f"{len(folds)} distinct text to learn from: nothing can be left out")
    ours: dict[str, float] = {}
    theirs: dict[str, dict[str, float]] = {}
    try:
        for place, held in enumerate(folds):
            train = [one for at, fold in enumerate(folds) if at != place for one in fold]
            _answer_fold(kind, encoder, train, held, task.name, ours, theirs)
    except AdapterError as error:
        return Verdict(False, f"cannot be learned from a part of its examples: {error.culprit}")
    if not ours:
        return Verdict(False, "no query has items of different grades: nothing can be ordered")
    groups = list(ours)
    own = np.array([ours[group] for group in groups])
    gains, means = {}, {}
    for name, found in theirs.items():
        other = np.array([found[group] for group in groups])
        means[name] = float(other.mean())
        gains[name] = paired_bootstrap(own - other, np.arange(len(groups)), rng, level=config.level)
    hardest = min(gains, key=lambda name: gains[name].low)
    proven = gains[hardest].low > 0
    return Verdict(proven, _reason(kind, float(own.mean()), hardest, means, gains[hardest], proven), float(own.mean()), means,
                   gains, len(groups))


def _answer_fold(kind: TaskKind, encoder: ReadsTexts, train: Sequence[Example], held: Sequence[Example], task: str,
                 ours: dict[str, float], theirs: dict[str, dict[str, float]]) -> None:
    """Add the scores of the held-out examples."""
    adapter = kind.fit(encoder, train, task)
    ours |= kind.scores(kind.answers(adapter, encoder, held), held)
    for name, answers in kind.rivals(encoder, train, held).items():
        theirs.setdefault(name, {}).update(kind.scores(answers, held))


def _folds(examples: Sequence[Example], config: TaskGateConfig, rng: np.random.Generator) -> list[list[Example]]:
    """Examples dealt out by group, those of one class evenly."""
    groups: dict[str, list[Example]] = {}
    for one in examples:
        groups.setdefault(one.group, []).append(one)
    names = [list(groups)[place] for place in rng.permutation(len(groups))[:config.most].tolist()]
    names.sort(key=lambda name: groups[name][0].labels)  # stable: drawn order within a class
    dealt: list[list[Example]] = [[] for _ in range(min(config.folds, len(names)))]
    for place, name in enumerate(names):
        dealt[place % len(dealt)] += groups[name]
    return dealt


def _reason(kind: TaskKind, own: float, rival: str, means: dict[str, float], gain: Interval, proven: bool) -> str:
    low = f"{gain.low:+.3f}" if np.isfinite(gain.low) else "−∞"
    high = f"{gain.high:+.3f}" if np.isfinite(gain.high) else "∞"
    verb = "beats" if proven else "is not proven better than"
    return (f"{kind.measure}: {own:.3f} {verb} {rival} {means[rival]:.3f} "
            f"({gain.mean:+.3f} [{low}, {high}] over {gain.n} left out)")
