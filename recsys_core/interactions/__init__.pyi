from .arrays import (
    MAX_HISTORY,
    SECONDS_PER_DAY,
    Catalogue,
    Histories,
    Interactions,
    Queries,
    make_interactions,
    make_queries,
    take_queries,
)
from .knots import KNOTS, MOST_LITTLE, Audience, audience_of, cut_histories, for_audience, knot_shares, known_steps
from .windows import BASE, Window, WindowConfig, plan_windows

__all__ = [
    "BASE", "KNOTS", "MAX_HISTORY", "MOST_LITTLE", "SECONDS_PER_DAY", "Audience", "Catalogue", "Histories", "Interactions",
    "Queries", "Window", "WindowConfig", "audience_of", "cut_histories", "for_audience", "knot_shares", "known_steps",
    "make_interactions", "make_queries", "plan_windows", "take_queries",
]
