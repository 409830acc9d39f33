from .assignment import Assignment, Experiments
from .interleaving import interleave
from .report import report_experiment
from .sequential import SequentialConfig, sequential_difference, sequential_sign

__all__ = [
    "Assignment", "Experiments", "SequentialConfig", "interleave", "report_experiment", "sequential_difference",
    "sequential_sign",
]
