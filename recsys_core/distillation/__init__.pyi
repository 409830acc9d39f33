from .build import ASKED, StudentConfig, build_student
from .export import export_onnx
from .queries import logged_queries, make_queries
from .static import StaticConfig

__all__ = [
    "ASKED", "StaticConfig", "StudentConfig", "build_student", "export_onnx", "logged_queries", "make_queries",
]
