from .drift import DriftConfig, drift, drifting
from .observer import Observer, bundle_name, read_observed
from .profile import REFERENCE, make_reference, read_reference

__all__ = [
    "REFERENCE", "DriftConfig", "Observer", "bundle_name", "drift", "drifting", "make_reference", "read_observed",
    "read_reference",
]
