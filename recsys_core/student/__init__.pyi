from .encoders import (
    ONNX,
    STATIC,
    STUDENT_FLOAT,
    STUDENT_FORMAT,
    STUDENT_MODEL,
    STUDENT_SETTINGS,
    STUDENT_TABLE,
    STUDENT_TOKENIZER,
    OnnxEncoder,
    StaticEncoder,
    load_student,
)

__all__ = [
    "ONNX", "STATIC", "STUDENT_FLOAT", "STUDENT_FORMAT", "STUDENT_MODEL", "STUDENT_SETTINGS", "STUDENT_TABLE",
    "STUDENT_TOKENIZER", "OnnxEncoder", "StaticEncoder", "load_student",
]
