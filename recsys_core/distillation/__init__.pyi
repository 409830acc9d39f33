from .build import ASKED, build_student
from .student import StudentConfig

__all__ = ["ASKED", "StudentConfig", "build_student"]
