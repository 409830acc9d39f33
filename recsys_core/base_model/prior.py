"""Where the weights of the session model start from, before a shop has shown a single choice.

They are what other shops' choices have in common: for every part the mean of the weights fitted on each of them
(`make bench-fewshot` makes the table anew, and tells what it is worth to a shop it has not seen). The table holds
nothing else of those shops. A shop's own choices pull the weights away from here, a few hundred of them almost entirely.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from recsys_core.base_model.knots import KNOTS
from recsys_core.base_model.parts import PART_NAMES


@cache
def prior_weights() -> np.ndarray:
    """float64 [knots, P], read-only: the weight of every part at so many known steps."""
    table = yaml.safe_load(files("recsys_core.base_model").joinpath("prior.yaml").read_text(encoding="utf-8"))
    weights = np.array([table[name] for name in PART_NAMES], np.float64).T
    assert weights.shape == (len(KNOTS), len(PART_NAMES)), "prior.yaml is of another version"
    weights.setflags(write=False)
    return weights
