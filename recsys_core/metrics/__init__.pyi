from .baselines import fit_item_knn, fit_last_item, fit_like_ratio, fit_personal_frequency, fit_popularity
from .bootstrap import Interval, holm, minimum_detectable_effect, paired_bootstrap
from .outcomes import auc, calibration_error, log_loss, reliability, user_auc, user_aucs
from .ranking import (
    coverage,
    expected_ranks,
    long_tail,
    metrics_from_ranks,
    novelty,
    ranking_metrics,
    slice_targets,
    split_targets,
)
from .top import tie_ranks, top_items, top_rows

__all__ = [
    "Interval", "auc", "calibration_error", "coverage", "expected_ranks", "fit_item_knn", "fit_last_item", "fit_like_ratio",
    "fit_personal_frequency", "fit_popularity", "holm", "log_loss", "long_tail", "metrics_from_ranks",
    "minimum_detectable_effect", "novelty", "paired_bootstrap", "ranking_metrics", "reliability", "slice_targets",
    "split_targets", "tie_ranks", "top_items", "top_rows", "user_auc", "user_aucs",
]
