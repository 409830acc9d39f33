from .log import EventLog
from .masking import mask_text
from .sessions import SessionConfig, Sessions, SqliteSessions
from .shop import CollectedShop

__all__ = ["CollectedShop", "EventLog", "SessionConfig", "Sessions", "SqliteSessions", "mask_text"]
