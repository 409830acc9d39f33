"""Labelled tasks of a shop, each learned from a handful of rows: classes of texts, attributes in texts, matches of queries."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
