from .ann import INDEX_ABOVE, TextIndex
from .fields import Documents
from .lexical import LexicalIndex, build_lexical
from .matches import Grouping, Standing, best_items
from .offsets import Offsets, scaled
from .search import EncodesQueries, Narrowing, QueryParts, SearchConfig, clean_query, query_parts, taste_part

__all__ = [
    "INDEX_ABOVE", "Documents", "EncodesQueries", "Grouping", "LexicalIndex", "Narrowing", "Offsets", "QueryParts",
    "SearchConfig", "Standing", "TextIndex", "best_items", "build_lexical", "clean_query", "query_parts", "scaled", "taste_part",
]
