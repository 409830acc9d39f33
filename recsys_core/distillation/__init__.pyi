from .build import build_student
from .student import StudentConfig

__all__ = ["StudentConfig", "build_student"]
