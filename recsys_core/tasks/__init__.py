"""Labelled tasks: classes of texts, attributes in texts, how well an item answers a query; each from a few examples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
