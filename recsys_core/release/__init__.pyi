from .champion import released_champion
from .promoter import Promoter

__all__ = ["Promoter", "released_champion"]
