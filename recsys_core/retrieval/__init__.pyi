from .analysis import analyse
from .ann import INDEX_ABOVE, TextIndex
from .facets import Facet, count_bands, count_values
from .fields import Documents
from .fusion import Lists, Searched, as_strong, fit_weights, list_ndcg, make_lists, some_lists
from .item_attributes import Attribute, ItemAttributes
from .lexical import LexicalIndex, build_lexical
from .matches import Grouping, Standing, best_items
from .offsets import Offsets, Scaled, scaled
from .search import (
    UNLIKE,
    EncodesQueries,
    Narrowing,
    QueryParts,
    SearchConfig,
    clean_query,
    log_shares,
    nonsense_floor,
    query_parts,
    taste_part,
)
from .suggest import Phrases, gather_phrases

__all__ = [
    "INDEX_ABOVE", "UNLIKE", "Attribute", "Documents", "EncodesQueries", "Facet", "Grouping", "ItemAttributes",
    "LexicalIndex", "Lists", "Narrowing", "Offsets", "Phrases", "QueryParts", "Scaled", "SearchConfig", "Searched",
    "Standing", "TextIndex", "analyse", "as_strong", "best_items", "build_lexical", "clean_query", "count_bands",
    "count_values", "fit_weights", "gather_phrases", "list_ndcg", "log_shares", "make_lists", "nonsense_floor", "query_parts",
    "scaled", "some_lists", "taste_part",
]
