from .contributions import Contribution, offset_contributions, ranked_contributions, tell
from .profile import Profile, make_profile
from .relations import RELATIONS, Relation
from .rules import BoundRules, Rules, bind_rules, read_rules, shop_rules
from .sentences import TEMPLATES, Facts, sentence
from .similar import find_similar

__all__ = [
    "RELATIONS", "TEMPLATES", "BoundRules", "Contribution", "Facts", "Profile", "Relation", "Rules", "bind_rules", "find_similar",
    "make_profile", "offset_contributions", "ranked_contributions", "read_rules", "sentence", "shop_rules", "tell",
]
