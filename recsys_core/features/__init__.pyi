from .context import family_values
from .segments import candidate_items
from .store import FeatureConfig, Inputs, Made, build_features, read_features

__all__ = ["FeatureConfig", "Inputs", "Made", "build_features", "candidate_items", "family_values", "read_features"]
