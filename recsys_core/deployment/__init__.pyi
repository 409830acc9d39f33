from .build import build_bundle
from .champion import judge_bundle, load_champion
from .daily import DailyConfig, write_daily_lists
from .evaluate import evaluate_bundle
from .gates import BundleGateConfig
from .labelled import add_task
from .registry import save_model

__all__ = [
    "BundleGateConfig", "DailyConfig", "add_task", "build_bundle", "evaluate_bundle", "judge_bundle", "load_champion",
    "save_model", "write_daily_lists",
]
