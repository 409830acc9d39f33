"""How long a training run is, and how fast it learns: budgets in tokens and steps, never in seconds.

A clock would make the result depend on what else the machine does; tokens cost the same everywhere on
one machine, so the same seed gives the same weights and the time is still bounded for long texts.
"""

from __future__ import annotations

import numpy as np


def affordable_steps(lengths: np.ndarray, texts_per_step: int, max_steps: int, max_tokens: int) -> int:
    """Optimiser steps within both budgets (one at least, unless `max_steps` is 0).

    Args:
        lengths: int [n], tokens of each text that may be drawn.
        texts_per_step: texts in a batch.
        max_steps: the budget in steps.
        max_tokens: the budget in tokens.

    >>> affordable_steps(np.array([10, 30]), 100, max_steps=60, max_tokens=50_000)
    25
    >>> affordable_steps(np.array([10, 30]), 100, max_steps=8, max_tokens=50_000)
    8
    """
    return min(max_steps, max(1, int(max_tokens / (texts_per_step * lengths.mean()))))


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up over a share of the steps (counted from 1), then linear decay to zero after the last.

    >>> [learning_rate(step, 10, 1.0, 0.2) for step in (1, 2, 6, 10)]
    [0.5, 1.0, 0.5555555555555556, 0.1111111111111111]
    """
    rising = max(1, round(warmup * steps))
    return peak * min(step / rising, (steps + 1 - step) / max(1, steps + 1 - rising))
