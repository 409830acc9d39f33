from .drift import Drift, DriftConfig, drift, drifting
from .golden import GOLDEN_K, self_test
from .next_days import FRESH, NIGHT_RIVALS, SERVED, NextDaysConfig, judge_day, write_next_days
from .observer import Observer, read_observed
from .profile import Reference, make_reference

__all__ = [
    "FRESH", "GOLDEN_K", "NIGHT_RIVALS", "SERVED", "Drift", "DriftConfig", "NextDaysConfig", "Observer", "Reference", "drift",
    "drifting", "judge_day", "make_reference", "read_observed", "self_test", "write_next_days",
]
