from .attribution import Attribution
from .blend import Situation, fit_head, fit_weights, join_situations, sample_candidates
from .click import ClickConfig, ClickModel, fit_click_model
from .counting import count_events
from .fit import fit_ranker
from .model import SERVING, BaseConfig, BaseModelArtefact, build_base, lock_encoder, make_catalogue, make_lock, plan_shop
from .parts import PART_NAMES
from .ranker import Ranker, RankerConfig, Weighed, catalogue_hash

__all__ = [
    "PART_NAMES", "SERVING", "Attribution", "BaseConfig", "BaseModelArtefact", "ClickConfig", "ClickModel", "Ranker",
    "RankerConfig", "Situation", "Weighed", "build_base", "catalogue_hash", "count_events", "fit_click_model",
    "fit_head", "fit_ranker", "fit_weights", "join_situations", "lock_encoder", "make_catalogue", "make_lock", "plan_shop",
    "sample_candidates",
]
