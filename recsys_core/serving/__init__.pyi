from .adapt import REQUEST_CONFIG
from .answers import Recommendation, Recommendations
from .bundle import Bundle
from .files import (
    CLICK,
    GOLDEN,
    HISTORIES,
    INDEX,
    ITEMS,
    PROMOTIONS,
    RANKER,
    REFERENCE,
    SEGMENTS,
    SHELVES,
    STUDENT,
    USERS,
    VECTORS,
    family_folder,
    open_parts,
)
from .golden import GOLDEN_K, self_test
from .history import to_seconds
from .request import under_rules, understand
from .routing import Route
from .shelves import NEW_ARRIVALS, SHELF_COLUMNS
from .upserts import read_items
from .verification import FORMAT, MANIFEST, TRUSTED_KEY, check_kind, list_files, verify_bundle

__all__ = [
    "CLICK", "FORMAT", "GOLDEN", "GOLDEN_K", "HISTORIES", "INDEX", "ITEMS", "MANIFEST", "NEW_ARRIVALS", "PROMOTIONS",
    "RANKER", "REFERENCE", "REQUEST_CONFIG", "SEGMENTS", "SHELF_COLUMNS", "SHELVES", "STUDENT", "TRUSTED_KEY", "USERS",
    "VECTORS", "Bundle", "Recommendation", "Recommendations", "Route", "check_kind", "family_folder", "list_files",
    "open_parts", "read_items", "self_test", "to_seconds", "under_rules", "understand",
    "verify_bundle",
]
