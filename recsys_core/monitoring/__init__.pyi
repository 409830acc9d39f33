from .drift import Drift, DriftConfig, drift, drifting
from .golden import GOLDEN_K, self_test
from .observer import Observer, read_observed
from .profile import Reference, make_reference

__all__ = [
    "GOLDEN_K", "Drift", "DriftConfig", "Observer", "Reference", "drift", "drifting", "make_reference", "read_observed",
    "self_test",
]
