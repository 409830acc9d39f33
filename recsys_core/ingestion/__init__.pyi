from .boundary import refusing
from .conditions import split_condition
from .config import FamilySpec, SegmentSpec, ShopConfig
from .contract import to_closed_table
from .opening import open_settings, open_shop
from .shop import DayDrop, FileLedger, Shop
from .timestamps import pseudo_timestamps

__all__ = [
    "DayDrop", "FamilySpec", "FileLedger", "SegmentSpec", "Shop", "ShopConfig", "open_settings", "open_shop",
    "pseudo_timestamps", "refusing", "split_condition", "to_closed_table",
]
