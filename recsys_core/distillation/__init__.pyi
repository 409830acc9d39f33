from .build import ASKED, StudentConfig, build_student
from .queries import logged_queries, make_queries
from .static import StaticConfig

__all__ = [
    "ASKED", "StaticConfig", "StudentConfig", "build_student", "logged_queries", "make_queries",
]
