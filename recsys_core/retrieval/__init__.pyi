from .ann import INDEX_ABOVE, TextIndex
from .lexical import LexicalIndex, build_lexical
from .matches import ItemsOfTexts, Standing, best_items
from .offsets import Offsets, scaled
from .search import EncodesQueries, Narrowing, SearchConfig, clean_query, query_parts, taste_part

__all__ = [
    "INDEX_ABOVE", "EncodesQueries", "ItemsOfTexts", "LexicalIndex", "Narrowing", "Offsets", "SearchConfig", "Standing",
    "TextIndex", "best_items", "build_lexical", "clean_query", "query_parts", "scaled", "taste_part",
]
