from .assignment import Assignment, Experiments
from .interleaving import interleave

__all__ = ["Assignment", "Experiments", "interleave"]
