from .lexical import LexicalIndex, build_lexical
from .matches import ItemsOfTexts, Standing, best_items

__all__ = ["ItemsOfTexts", "LexicalIndex", "Standing", "best_items", "build_lexical"]
