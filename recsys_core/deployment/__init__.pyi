from .build import build_bundle
from .champion import judge_bundle
from .gates import BundleGateConfig

__all__ = ["BundleGateConfig", "build_bundle", "judge_bundle"]
