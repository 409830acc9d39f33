from .adapter import Adapter, check_lock, encoder_lock
from .closed_form import ClosedFormConfig, Prior, Strengths, Support, adapt_closed_form, prepare, solve_counts
from .family import Family, Offsets, count_shots, leave_own_out
from .page import PAGE_STRENGTHS, PageStrength, page_adapter, shot_counts, strength_at, values_of
from .segment import FAMILY, AdaptationConfig, adapt_segments, make_segment_adapter
from .stale import stale_adapters
from .study import PublishedStudy, Shots, Study
from .trust import Choice, fit_trust

__all__ = [
    "FAMILY", "PAGE_STRENGTHS", "AdaptationConfig", "Adapter", "Choice", "ClosedFormConfig", "Family", "Offsets",
    "PageStrength", "Prior", "PublishedStudy", "Shots", "Strengths", "Study", "Support", "adapt_closed_form", "adapt_segments",
    "check_lock", "count_shots", "encoder_lock", "fit_trust", "leave_own_out", "make_segment_adapter", "page_adapter", "prepare",
    "shot_counts", "solve_counts", "stale_adapters", "strength_at", "values_of",
]
