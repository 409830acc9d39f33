from .context import family_values
from .segments import candidate_items
from .store import FeatureConfig, build_features

__all__ = ["FeatureConfig", "build_features", "candidate_items", "family_values"]
