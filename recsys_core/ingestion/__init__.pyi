from .conditions import split_condition
from .config import FamilySpec, SegmentSpec, ShopConfig
from .opening import open_shop
from .shop import Shop
from .timestamps import pseudo_timestamps

__all__ = ["FamilySpec", "SegmentSpec", "Shop", "ShopConfig", "open_shop", "pseudo_timestamps", "split_condition"]
