from .log import UNWANTED, EventLog
from .masking import mask_text
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop

__all__ = ["UNWANTED", "CollectedShop", "EventLog", "SessionConfig", "Sessions", "SqliteSessions", "mask_text"]
