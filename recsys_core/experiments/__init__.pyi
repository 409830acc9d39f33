from .assignment import Assignment, Experiments
from .interleaving import interleave
from .report import report_experiment

__all__ = ["Assignment", "Experiments", "interleave", "report_experiment"]
