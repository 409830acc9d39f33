from .facts import read_facts
from .grounding import find_faults
from .methods import Words
from .model import load_model
from .writer import WordsConfig, write_texts
from .written import read_written, write_written

__all__ = ["Words", "WordsConfig", "find_faults", "load_model", "read_facts", "read_written", "write_texts", "write_written"]
