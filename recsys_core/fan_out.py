"""Where independent pieces of work run: here, one after the other, or on workers that an orchestrator provides.

A piece reads by path and returns arrays, tables or artefacts in memory; only the caller writes. What was read from paths pickles
as these paths (`PublishedStudy`, `TextEncoder.load`), so a worker opens it itself, and here nothing is opened twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Made = TypeVar("Made")


class FanOut(Protocol):
    """Runs a function over tasks."""

    def map(self, function: Callable[[Task], Made], tasks: Iterable[Task]) -> Iterator[Made]:
        """What the function makes of each task, in their order.

        Args:
            function: the same answer for the same task, wherever it runs; it writes nothing that others read. It must pickle.
            tasks: may come from an iterator that waits for another `map`. They must pickle.

        Raises:
            Exception: what the function raised, when its place in the order is reached.
        """
        ...


class InProcess:
    """Runs each task here, when its result is asked for."""

    def map(self, function: Callable[[Task], Made], tasks: Iterable[Task]) -> Iterator[Made]:
        """See `FanOut.map`; nothing is pickled."""
        return map(function, tasks)


IN_PROCESS = InProcess()
