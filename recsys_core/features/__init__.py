"""Features: the tables that models and segments read, computed in DuckDB from clean tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
