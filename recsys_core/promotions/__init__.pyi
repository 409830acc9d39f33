from .table import USUAL_DAYS, Promotions, make_promotions
from .weights import PromotionConfig, PromotionWeights, fit_promotions, score_by_day

__all__ = [
    "USUAL_DAYS", "PromotionConfig", "PromotionWeights", "Promotions", "fit_promotions", "make_promotions", "score_by_day",
]
