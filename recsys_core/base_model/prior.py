"""Where the weights of the session model start from, before a shop has shown much of itself.

They are other shops' weights: what small shops cut from several kinds have in common, and each kind by itself, for shops
differ most in whether their shoppers come back to what they know. A shop starts from the kind that explains its own first
choices best, and from what all have in common where it has shown none; its choices then pull the weights away, a few
hundred of them almost entirely. `python -m benchmarks.fewshot.new_shop` makes the table, `make bench-fewshot` tells what
it is worth to a shop that it has not seen. It holds nothing else of those shops.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from recsys_core.base_model.parts import PART_NAMES
from recsys_core.interactions import KNOTS


@cache
def prior_weights() -> np.ndarray:
    """float64 [kinds, knots, P], read-only: the weight of every part at so many known steps; first what all have in common."""
    table = yaml.safe_load(files("recsys_core.base_model").joinpath("prior.yaml").read_text(encoding="utf-8"))
    weights = np.array([[kind[name] for name in PART_NAMES] for kind in table.values()], np.float64).swapaxes(1, 2)
    assert weights.shape[1:] == (len(KNOTS), len(PART_NAMES)), "prior.yaml is of another version"
    weights.setflags(write=False)
    return weights
