"""Promotions: what a shop promotes where and when, as two more parts of a score."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
