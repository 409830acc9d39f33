from .contributions import Contribution, offset_contributions, ranked_contributions, tell
from .profile import Profile, make_profile
from .rules import BoundRules, Rules, bind_rules, read_rules, shop_rules
from .sentences import TEMPLATES, Facts, sentence
from .similar import one_per_text, score_similar

__all__ = [
    "TEMPLATES", "BoundRules", "Contribution", "Facts", "Profile", "Rules", "bind_rules", "make_profile",
    "offset_contributions", "one_per_text", "ranked_contributions", "read_rules", "score_similar", "sentence",
    "shop_rules", "tell",
]
