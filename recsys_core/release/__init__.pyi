from .champion import released_champion
from .log import ROLLED_BACK, Entry, ReleaseLog
from .nights import NightsConfig, judge_nights
from .promoter import NIGHT, Promoter

__all__ = ["NIGHT", "ROLLED_BACK", "Entry", "NightsConfig", "Promoter", "ReleaseLog", "judge_nights", "released_champion"]
