from .days import clean_days
from .events import CleaningConfig, clean_events
from .items import clean_item, clean_items, compose_text
from .ledger import count_day
from .quarantine import REASONS
from .text import normalise_one

__all__ = [
    "REASONS", "CleaningConfig", "clean_days", "clean_events", "clean_item", "clean_items", "compose_text", "count_day",
    "normalise_one",
]
