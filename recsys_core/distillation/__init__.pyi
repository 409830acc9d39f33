from .build import ASKED, StudentConfig, build_student
from .queries import logged_queries, make_queries

__all__ = ["ASKED", "StudentConfig", "build_student", "logged_queries", "make_queries"]
