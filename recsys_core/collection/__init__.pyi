from .erased import add_erased, read_erased
from .items import POSTED_ITEMS, PostedItems
from .log import UNWANTED, EventLog, rewrite_lines
from .redis import RedisSessions
from .rekey import rekey_collected
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop, read_unwanted

__all__ = [
    "POSTED_ITEMS", "UNWANTED", "CollectedShop", "EventLog", "PostedItems", "RedisSessions", "SessionConfig", "Sessions",
    "SqliteSessions", "add_erased", "read_erased", "read_unwanted", "rekey_collected", "rewrite_lines",
]
