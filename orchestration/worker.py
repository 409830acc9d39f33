"""What a Ray worker runs for `orchestration.ray`. It imports neither Dagster nor the shop."""

from collections.abc import Callable
from typing import Any

KEPT = 2  # functions: features ask for totals and tables in turns

_opened: dict[str, Callable[[Any], Any]] = {}


def run(call: str, function: list[Any], task: Any) -> Any:
    """One task. What its function holds is opened once per process and call, not once per task.

    Args:
        call: tells calls of `map` apart. function: a reference to it, in a list so that Ray leaves it closed.
        task: what the function is asked.
    """
    if call not in _opened:
        import ray

        while len(_opened) >= KEPT:
            _opened.pop(next(iter(_opened)))
        _opened[call] = ray.get(function[0])
    return _opened[call](task)
