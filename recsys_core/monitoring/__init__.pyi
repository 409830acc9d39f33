from .drift import Drift, DriftConfig, drift, drifting
from .observer import Observer, read_observed
from .profile import Reference, make_reference

__all__ = ["Drift", "DriftConfig", "Observer", "Reference", "drift", "drifting", "make_reference", "read_observed"]
