from .items import POSTED_ITEMS, PostedItems
from .log import UNWANTED, EventLog
from .masking import mask_text
from .redis import RedisSessions
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop, read_unwanted

__all__ = [
    "POSTED_ITEMS", "UNWANTED", "CollectedShop", "EventLog", "PostedItems", "RedisSessions", "SessionConfig", "Sessions",
    "SqliteSessions", "mask_text", "read_unwanted",
]
