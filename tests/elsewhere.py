"""What a worker does to functions, tasks and results, without a worker: all of them go through pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Elsewhere:
    """A `FanOut` that takes all tasks at once and answers from a copy of the function."""

    def __init__(self) -> None:
        self.tasks: list[int] = []  # of each call

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        copy = pickle.loads(pickle.dumps(function))
        made = [pickle.dumps(copy(pickle.loads(pickle.dumps(task)))) for task in tasks]
        self.tasks.append(len(made))
        return map(pickle.loads, made)
