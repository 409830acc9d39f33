from .adapt import REQUEST_CONFIG
from .answers import Recommendation, Recommendations
from .bundle import Bundle
from .files import (
    ATTRIBUTES,
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
from .history import to_seconds
from .request import under_rules, understand
from .routing import Route
from .upserts import read_items
from .verification import FORMAT, MANIFEST, TRUSTED_KEY, check_kind, list_files, verify_bundle

__all__ = [
    "ATTRIBUTES", "CLICK", "FORMAT", "GOLDEN", "HISTORIES", "INDEX", "ITEMS", "MANIFEST", "PROMOTIONS",
    "RANKER", "REFERENCE", "REQUEST_CONFIG", "SEGMENTS", "SHELVES", "STUDENT", "TRUSTED_KEY", "USERS",
    "VECTORS", "Bundle", "Recommendation", "Recommendations", "Route", "check_kind", "family_folder", "list_files",
    "open_parts", "read_items", "to_seconds", "under_rules", "understand",
    "verify_bundle",
]
