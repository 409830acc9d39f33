from .build import build_bundle
from .champion import judge_bundle, load_champion
from .daily import DailyConfig, write_daily_lists
from .erasure import erase_user, lines_of
from .evaluate import evaluate_bundle
from .gates import BundleGateConfig
from .labelled import add_task
from .registry import save_model
from .searching import LearnedSearch, learn_search, learn_weights, read_search, write_search

__all__ = [
    "BundleGateConfig", "DailyConfig", "LearnedSearch", "add_task", "build_bundle", "erase_user",
    "evaluate_bundle", "judge_bundle", "learn_search", "learn_weights", "lines_of", "load_champion", "read_search",
    "save_model", "write_daily_lists", "write_search",
]
