from .shelves import NEW_ARRIVALS, SHELF_COLUMNS, Shelves
from .table import USUAL_DAYS, Promotions, make_promotions
from .weights import PromotionConfig, PromotionWeights, fit_promotions, score_by_day

__all__ = [
    "NEW_ARRIVALS", "SHELF_COLUMNS", "USUAL_DAYS", "PromotionConfig", "PromotionWeights", "Promotions", "Shelves",
    "fit_promotions", "make_promotions", "score_by_day",
]
