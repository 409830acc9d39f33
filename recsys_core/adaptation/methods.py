"""The methods a segment chooses from, each fitted on any subsets of its shots (the folds of a cross-validation) at once.

- `closed_form`: groups, text and items, each stage only where it predicts left-out users (`closed_form`).
- `from X`: the adapter X as it is. X is this segment's last adapter, or the nearest by data of the scenes that are
  over (zero-shot transfer; last year's of the same scene is one). `from X+shots`: the closed form of what X leaves
  over, added to X.
- `lora`: PEFT LoRA on the encoder's top layer, moving on from the closed form's groups and text; and the closed form of
  what it leaves over (single items, mostly: without them it keeps a quarter of a department's gain).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import ClosedFormConfig, Prior, Support, adapt_closed_form
from recsys_core.adaptation.lora import LoraConfig, adapt_lora, lora_task
from recsys_core.adaptation.prefix import Prefix
from recsys_core.adaptation.shots import Shots
from recsys_core.evaluation.metrics import expected_ranks, metrics_from_ranks

CLOSED_FORM, LORA = "closed_form", "lora"
FROM, AND_SHOTS = "from ", "+shots"
LAST = "last"  # the start that is the segment's own last adapter


@dataclass(frozen=True)
class BaseView:
    """The base at K shots.

    Args:
        listed: float32 [K, N], its distribution over the catalogue, rows sum to 1. chance: as in `Shots`.
    """

    listed: np.ndarray
    chance: np.ndarray | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float32 [K, N]: its distribution of the shots, which differs where these were not drawn with equal chances."""
        if self.chance is None:
            return self.listed
        met = self.listed * self.chance.astype(np.float32)
        met /= met.sum(axis=1, keepdims=True)
        return met

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The mean distribution at some shots, float64 [N], all > 0."""
        mean = self.probabilities[rows].mean(axis=0, dtype=np.float64) + 1e-12
        return mean / mean.sum()

    def gains(self, rows: np.ndarray, items: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What offsets [N] add to the log-likelihood of the shots at `rows`: float64 [len(rows)].

        log p'(i) − log p(i) = o_i − log Σ_j p(j) exp(o_j): a matrix–vector product, no new softmax.
        """
        top = offsets.max()
        return offsets[items] - top - np.log(self.probabilities[rows] @ np.exp(offsets - top))

    def list_gains(self, rows: np.ndarray, items: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What offsets [N] add to the NDCG@10 of the shots at `rows`: float64 [len(rows)].

        Stratified shots are asked for the list that shoppers see, and count by the inverse of their chance.
        """
        indptr, base = np.arange(len(rows) + 1), self.listed[rows]
        before, after = (metrics_from_ranks(*expected_ranks(scores, indptr, items), indptr)["ndcg@10"]
                         for scores in (base, base * np.exp(offsets - offsets.max()).astype(np.float32)))
        return after - before if self.chance is None else (after - before) / self.chance[items]


@dataclass(frozen=True)
class Task:
    """What a method is fitted on.

    Args:
        view: the base at the shots. starts: name → adapter that may be moved on from. fresh: bool [K], the shots that
            no start has learned from: only they can judge it; None without starts.
    """

    prior: Prior
    segment: str
    shots: Shots
    view: BaseView
    closed_form: ClosedFormConfig
    starts: Mapping[str, Adapter] = field(default_factory=dict)
    fresh: np.ndarray | None = None


Subsets = Sequence[np.ndarray]  # positions of the shots to learn from, one array per fit
Methods = Callable[[Task, Subsets], list[dict[str, Adapter]]]  # adapters by method name, one dictionary per subset


def closed_form_methods(task: Task, subsets: Subsets) -> list[dict[str, Adapter]]:
    """The closed form, and every start as it is and moved on from."""
    supports = {f"{at}": Support(task.shots.items[rows], task.shots.users[rows], task.view.share(rows))
                for at, rows in enumerate(subsets)}
    found = [{CLOSED_FORM: adapter.for_segment(task.segment)}
             for adapter in adapt_closed_form(task.prior, supports, task.closed_form).values()]
    for name, start in task.starts.items():
        for methods, moved in zip(found, move_on(task, subsets, [start] * len(subsets)), strict=True):
            methods |= {FROM + name: start.for_segment(task.segment), FROM + name + AND_SHOTS: moved}
    return found


def move_on(task: Task, subsets: Subsets, starts: Sequence[Adapter]) -> list[Adapter]:
    """Per subset its start, and the closed form of what that leaves over, added up."""
    supports = {}
    for at, (rows, start) in enumerate(zip(subsets, starts, strict=True)):
        offsets = start.offsets(task.prior.catalogue).astype(np.float64)
        tilted = task.view.share(rows) * np.exp(offsets - offsets.max()) + 1e-12
        supports[f"{at}"] = Support(task.shots.items[rows], task.shots.users[rows], tilted / tilted.sum())
    rest = adapt_closed_form(task.prior, supports, task.closed_form)
    return [add_adapters(start, rest[f"{at}"].for_segment(task.segment)) for at, start in enumerate(starts)]


def add_adapters(first: Adapter, second: Adapter) -> Adapter:
    """One adapter whose offsets are the sum of two; name, method and settings are the second's."""
    groups = {key: _group(first, key) + _group(second, key) for key in {**first.groups, **second.groups}}
    items = _merge(zip(first.item_ids, first.item_values.tolist(), strict=True),
                   zip(second.item_ids, second.item_values.tolist(), strict=True))
    texts = _merge(*(zip(a.text_keys.tolist(), a.text_values.tolist(), strict=True) for a in (first, second)))
    return replace(second, theta=first.theta + second.theta, groups=groups, item_ids=tuple(items),
                   item_values=np.array(list(items.values()), np.float32),
                   text_keys=np.array(list(texts), np.int64), text_values=np.array(list(texts.values()), np.float32))


def _group(adapter: Adapter, key: str) -> float:
    """A group that an adapter does not name has the value of its level."""
    return adapter.groups.get(key, adapter.groups.get(key.partition("|")[0], 0.0))


def _merge(first: Iterable[tuple], second: Iterable[tuple]) -> dict:
    values = dict(first)
    for key, value in second:
        values[key] = values.get(key, 0.0) + value
    return values


def lora_methods(prefix: Prefix, lora: LoraConfig, peft_folder: Path) -> Methods:
    """The closed form's methods and PEFT LoRA; the last subset's LoRA is written to `peft_folder`."""
    def methods(task: Task, subsets: Subsets) -> list[dict[str, Adapter]]:
        found = closed_form_methods(task, subsets)
        tasks = [lora_task(task.prior, adapters[CLOSED_FORM], task.shots.items[rows], task.view.probabilities[rows], lora)
                 for rows, adapters in zip(subsets, found, strict=True)]
        folders = [None] * (len(tasks) - 1) + [peft_folder]
        trained = adapt_lora(prefix, task.prior, tasks, lora, folders)
        for adapters, made, moved in zip(found, trained, move_on(task, subsets, trained), strict=True):
            adapters[LORA] = replace(moved, method=made.method, settings=made.settings, peft_folder=made.peft_folder)
        return found

    return methods
