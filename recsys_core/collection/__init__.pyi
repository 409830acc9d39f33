from .erased import add_erased, digest_id, read_erased
from .items import POSTED_ITEMS, PostedItems
from .log import UNWANTED, EventLog
from .redis import RedisSessions
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop, read_unwanted

__all__ = [
    "POSTED_ITEMS", "UNWANTED", "CollectedShop", "EventLog", "PostedItems", "RedisSessions", "SessionConfig", "Sessions",
    "SqliteSessions", "add_erased", "digest_id", "read_erased", "read_unwanted",
]
