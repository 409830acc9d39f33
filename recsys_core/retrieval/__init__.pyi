from .lexical import LexicalIndex, build_lexical
from .matches import ItemsOfTexts, Standing, best_items
from .offsets import Offsets, scaled
from .search import EncodesQueries, SearchConfig, clean_query, query_parts, taste_part

__all__ = [
    "EncodesQueries", "ItemsOfTexts", "LexicalIndex", "Offsets", "SearchConfig", "Standing", "best_items", "build_lexical",
    "clean_query", "query_parts", "scaled", "taste_part",
]
