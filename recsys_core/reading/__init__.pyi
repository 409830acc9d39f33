from .joins import Join
from .meeting import ROUNDED, Meeting, meet
from .names import file_format, split_name
from .rejects import rejects_frame
from .settings import read_yaml
from .tables import Declared, columns_of, read_column, read_head, read_table

__all__ = [
    "ROUNDED", "Declared", "Join", "Meeting", "columns_of", "file_format", "meet", "read_column", "read_head", "read_table",
    "read_yaml", "rejects_frame", "split_name",
]
