from .log import UNWANTED, EventLog
from .masking import mask_text
from .redis import RedisSessions
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop

__all__ = ["UNWANTED", "CollectedShop", "EventLog", "RedisSessions", "SessionConfig", "Sessions", "SqliteSessions", "mask_text"]
