from .log import EventLog
from .masking import mask_text
from .sessions import SessionConfig, Sessions, SqliteSessions

__all__ = ["EventLog", "SessionConfig", "Sessions", "SqliteSessions", "mask_text"]
