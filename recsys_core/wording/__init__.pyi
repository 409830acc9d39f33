from .facts import Facts, read_facts
from .grounding import find_faults
from .methods import Words
from .model import load_model
from .templates import DESCRIPTIONS, describe_item
from .writer import WordsConfig, write_texts
from .written import read_written, write_written

__all__ = [
    "DESCRIPTIONS", "Facts", "Words", "WordsConfig", "describe_item", "find_faults", "load_model", "read_facts", "read_written",
    "write_texts", "write_written",
]
